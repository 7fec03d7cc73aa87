import { useState } from "preact/hooks";
import { ask, type SpeedTest, type Status } from "../api";
import { Card, Facts, Field, Oops, useTask } from "../parts";
import { Plot } from "../plot";
import { digits, micros, rate, whose } from "../words";

const DURATION_MS = 2000;

function Bars({ bars }: { bars: [string, number][] }) {
  const most = Math.max(1, ...bars.map(([, kbps]) => kbps));
  return (
    <dl class="bars">
      {bars.map(([name, kbps], index) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>
            <i class={`bar bar-${index}`} style={{ width: `${(100 * kbps) / most}%` }} />
            <span>{rate(kbps)}</span>
          </dd>
        </div>
      ))}
    </dl>
  );
}

function Result({ test }: { test: SpeedTest }) {
  const { result } = test;
  if (test.failure) {
    return (
      <p class="oops" role="alert">
        {test.failure}
      </p>
    );
  }
  if (!result) {
    return (
      <>
        <p role="status">The picture waits while filler is sent…</p>
        <progress max="1" value={test.progress} aria-label="Progress of the speed test" />
      </>
    );
  }
  return (
    <>
      <p role="status">
        <strong>{result.verdict}</strong>
      </p>
      <Facts
        large
        facts={[
          ["Recommended bitrate", rate(result.recommended_kbps)],
          ["Goodput", rate(result.goodput_kbps)],
          ["Lost", `${digits(result.loss_per_mille)} ‰`],
          [
            "Delay under load, p50 and p99",
            <>
              <span class="whole">{micros(result.delay_p50_us)}</span>,{" "}
              <span class="whole">{micros(result.delay_p99_us)}</span>
            </>,
          ],
        ]}
      />
      <div class="plots two">
        <figure class="plot">
          <figcaption>
            How far it came <span class="soft">from what was asked for to what is of use</span>
          </figcaption>
          <Bars
            bars={[
              ["Asked for", result.target_kbps],
              ["Left the host", result.sent_kbps],
              ["Came", result.received_kbps],
              ["Of use", result.goodput_kbps],
              ["Recommended", result.recommended_kbps],
            ]}
          />
        </figure>
        <Plot
          title="Lost, by where in a picture"
          unit={result.loss_by_position_per_mille.some((lost) => lost > 0) ? "‰ of each tenth" : "nothing of any tenth"}
          bars
          xs={result.loss_by_position_per_mille.map((_, index) => index + 1)}
          format={digits}
          series={[{ label: "lost", colour: 3, values: result.loss_by_position_per_mille }]}
        />
      </div>
    </>
  );
}

export function Speed({ status }: { status: Status }) {
  const streaming = status.sessions.filter((session) => session.state === "streaming");
  const [session, setSession] = useState<number | null>(null);
  const [mbit, setMbit] = useState("100");
  const { busy, failure, run } = useTask();
  const chosen = streaming.find((one) => one.id === session) ?? streaming[0];
  const test = status.speed_test;
  const running = test != null && !test.result && !test.failure;
  const start = (event: Event) => {
    event.preventDefault();
    if (!chosen) return;
    const target_kbps = Math.round(Number(mbit) * 1000);
    run(() => ask("POST", "speed-test", { session: chosen.id, target_kbps, duration_ms: DURATION_MS }));
  };
  return (
    <Card title="Speed test">
      <p>
        Sends filler the way pictures are sent, for two seconds, to a client that is connected; its picture waits
        meanwhile.
      </p>
      <form class="inline" onSubmit={start}>
        <Field name="Client">
          <select
            value={chosen?.id}
            disabled={streaming.length === 0}
            onChange={(event) => setSession(Number(event.currentTarget.value))}
          >
            {streaming.map((one) => (
              <option key={one.id} value={one.id}>
                {whose(one)}
              </option>
            ))}
          </select>
        </Field>
        <Field name="Mbit/s to try">
          <input
            type="number"
            min="0.5"
            max="10000"
            step="any"
            required
            value={mbit}
            onInput={(event) => setMbit(event.currentTarget.value)}
          />
        </Field>
        <button type="submit" class="primary" disabled={busy || !chosen || running}>
          Start
        </button>
      </form>
      {streaming.length === 0 && <p class="soft">No client is connected.</p>}
      <Oops failure={failure} />
      {test && <Result test={test} />}
    </Card>
  );
}
