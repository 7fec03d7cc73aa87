import type { Latency, Session, Status } from "../api";
import type { Course, Point } from "../course";
import { Card, Facts } from "../parts";
import { Plot } from "../plot";
import { digits, groups, micros, mode, rate, span, whose } from "../words";

// A picture's way: the host's stages, then the client's and the sums across both.
function stagesOf(session: Session): Latency[] {
  return [...session.stages, ...session.client_stages];
}

function across(session: Session): Latency | undefined {
  return session.client_stages.find((one) => one.stage === "capture_to_decoded");
}

function Latencies({ session }: { session: Session }) {
  const stages = stagesOf(session);
  if (stages.length === 0) return null;
  return (
    <details>
      <summary>Latency of each stage in figures</summary>
      <div class="scroll" tabIndex={0} role="group" aria-label="Latency of each stage over the last second">
        <table>
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
            {stages.map((stage) => (
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
    </details>
  );
}

function Plots({ points }: { points: readonly Point[] }) {
  const xs = points.map((point) => point.at / 1000);
  const of = (value: (session: Session) => number | null | undefined) =>
    points.map((point) => value(point.session) ?? null);
  const stage = (name: string, part: "p50_us" | "p99_us") =>
    of((session) => stagesOf(session).find((one) => one.stage === name)?.[part]);
  const newest = points.at(-1)?.session;
  const ends: [string, Latency[]][] = newest
    ? [
        ["Latency at the host", newest.stages],
        ["Latency at the client, and across both", newest.client_stages],
      ]
    : [];
  return (
    <>
      <div class="plots">
        <Plot
          title="Pictures"
          unit="a second"
          xs={xs}
          format={digits}
          series={[
            { label: "sent", colour: 0, values: of((session) => session.pictures_per_s) },
            { label: "decoded", colour: 1, dashed: true, values: of((session) => session.decoded_per_s) },
          ]}
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
          format={digits}
          series={[{ label: "lost", colour: 3, values: of((session) => session.loss_per_mille) }]}
        />
      </div>
      {ends.map(
        ([title, stages]) =>
          stages.length > 0 && (
            <>
              <h3>{title}</h3>
              <div class="plots small">
                {stages.map(({ stage: name }) => (
                  <Plot
                    key={name}
                    title={name.replaceAll("_", " ")}
                    unit=""
                    height={130}
                    xs={xs}
                    format={micros}
                    series={[
                      { label: "p50", colour: 2, values: stage(name, "p50_us") },
                      { label: "p99", colour: 4, dashed: true, values: stage(name, "p99_us") },
                    ]}
                  />
                ))}
              </div>
            </>
          ),
      )}
    </>
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
            ["Fingerprint", <code class="wrap">{groups(status.fingerprint)}</code>],
          ]}
        />
      </Card>
    );
  }
  return (
    <>
      {status.sessions.map((session) => (
        <Card key={session.id} title={whose(session)}>
          <Facts
            large
            facts={[
              ["Pictures a second", session.pictures_per_s == null ? "–" : digits(session.pictures_per_s)],
              ["On the wire", rate(session.wire_kbps)],
              ["Lost", session.loss_per_mille == null ? "–" : `${digits(session.loss_per_mille)} ‰`],
              ["Capture to decoded", micros(across(session)?.p50_us)],
              ["Round trip", micros(session.rtt_us)],
            ]}
          />
          <p class="soft">
            {mode(session.mode)} · {session.source} · {session.encoder}
          </p>
          <Plots points={course.of(session.id)} />
          <Latencies session={session} />
        </Card>
      ))}
    </>
  );
}
