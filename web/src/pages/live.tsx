import type { Session, Status } from "../api";
import type { Course, Point } from "../course";
import { Card, Facts } from "../parts";
import { Plot } from "../plot";
import { digits, micros, mode, rate, span } from "../words";

const LATENCY_SERIES = ["encode", "fec", "seal", "pace", "send", "capture"];

function Latencies({ session }: { session: Session }) {
  if (session.stages.length === 0) return null;
  return (
    <div class="scroll">
      <table>
        <caption>Latency of each stage over the last second</caption>
        <thead>
          <tr>
            <th scope="col">Stage</th>
            <th scope="col" class="number">p50</th>
            <th scope="col" class="number">p99</th>
            <th scope="col" class="number">p99.9</th>
            <th scope="col" class="number">Largest</th>
          </tr>
        </thead>
        <tbody>
          {session.stages.map((stage) => (
            <tr key={stage.stage}>
              <th scope="row">{stage.stage.replaceAll("_", " ")}</th>
              <td class="number">{micros(stage.p50_us)}</td>
              <td class="number">{micros(stage.p99_us)}</td>
              <td class="number">{micros(stage.p999_us)}</td>
              <td class="number">{micros(stage.max_us)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function Plots({ points }: { points: readonly Point[] }) {
  const xs = points.map((point) => point.at / 1000);
  const of = (value: (session: Session) => number | null | undefined) =>
    points.map((point) => value(point.session) ?? null);
  const stage = (name: string, part: "p50_us" | "p99_us") =>
    of((session) => session.stages.find((one) => one.stage === name)?.[part]);
  const stages = LATENCY_SERIES.filter((name) =>
    points.some((point) => point.session.stages.some((one) => one.stage === name)),
  );
  const latency = (part: "p50_us" | "p99_us") =>
    stages.map((name, index) => ({ label: name, colour: index, dashed: index % 2 === 1, values: stage(name, part) }));
  const whole = (value: number) => digits(value);
  return (
    <div class="plots">
      <Plot
        title="Pictures"
        unit="a second"
        xs={xs}
        format={whole}
        series={[{ label: "sent", colour: 0, values: of((session) => session.pictures_per_s) }]}
      />
      <Plot
        title="On the wire"
        unit="redundancy included"
        xs={xs}
        format={rate}
        series={[
          { label: "sent", colour: 0, values: of((session) => session.wire_kbps) },
          { label: "agreed", colour: 1, dashed: true, values: of((session) => session.bitrate_kbps) },
        ]}
      />
      <Plot
        title="Lost"
        unit="of a thousand datagrams"
        xs={xs}
        format={whole}
        series={[{ label: "lost", colour: 3, values: of((session) => session.loss_per_mille) }]}
      />
      <Plot title="Stages, p50" unit="each one's own time" xs={xs} format={micros} series={latency("p50_us")} />
      <Plot title="Stages, p99" unit="each one's own time" xs={xs} format={micros} series={latency("p99_us")} />
    </div>
  );
}

export function Live({ status, course }: { status: Status; course: Course }) {
  if (status.sessions.length === 0) {
    return (
      <Card title="Nobody is watching">
        <p>
          Connect from another machine: <code>punktfunk connect {status.host_name}</code>
        </p>
        <Facts
          facts={[
            ["Port", `UDP ${status.port}`],
            ["Up for", span(status.uptime_s)],
            ["Fingerprint", <code class="wrap">{status.fingerprint}</code>],
          ]}
        />
      </Card>
    );
  }
  return (
    <>
      {status.sessions.map((session) => (
        <Card key={session.id} title={session.client || "a client without a name"}>
          <Facts
            facts={[
              ["Pictures", `${digits(session.pictures_per_s)} a second`],
              ["On the wire", rate(session.wire_kbps)],
              ["Lost", session.loss_per_mille == null ? "–" : `${digits(session.loss_per_mille)} ‰`],
              ["Round trip", micros(session.rtt_us)],
              ["Picture", mode(session.mode)],
              ["Source", session.source],
            ]}
          />
          <Plots points={course.of(session.id)} />
          <Latencies session={session} />
        </Card>
      ))}
    </>
  );
}
