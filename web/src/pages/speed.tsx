import { useState } from "preact/hooks";
import { ask, type SpeedTest, type Status } from "../api";
import { Card, Facts, Oops, useTask } from "../parts";
import { Plot } from "../plot";
import { digits, micros, rate } from "../words";

function Result({ test }: { test: SpeedTest }) {
  const { result } = test;
  if (test.failure) return <p class="oops">{test.failure}</p>;
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
        facts={[
          ["Recommended bitrate", rate(result.recommended_kbps)],
          ["Goodput", rate(result.goodput_kbps)],
          ["Came, on the wire", `${rate(result.received_kbps)} of ${rate(result.sent_kbps)}`],
          ["Lost", `${digits(result.loss_per_mille)} ‰`],
          ["Delay under load, p50", micros(result.delay_p50_us)],
          ["p99", micros(result.delay_p99_us)],
        ]}
      />
      <Plot
        title="Lost, by where in a picture"
        unit="‰ of the datagrams, in tenths of a picture"
        isTime={false}
        xs={result.loss_by_position_per_mille.map((_, index) => index + 1)}
        format={digits}
        series={[{ label: "lost", colour: 3, values: result.loss_by_position_per_mille }]}
      />
    </>
  );
}

export function Speed({ status }: { status: Status }) {
  const streaming = status.sessions.filter((session) => session.state === "streaming");
  const [session, setSession] = useState<number | null>(null);
  const [mbit, setMbit] = useState("100");
  const { busy, failure, run } = useTask();
  const chosen = streaming.find((one) => one.id === session) ?? streaming[0];
  const running = status.speed_test !== null && !status.speed_test?.result && !status.speed_test?.failure;
  const start = (event: Event) => {
    event.preventDefault();
    if (!chosen) return;
    const target_kbps = Math.round(Number(mbit) * 1000);
    run(() => ask("POST", "speed-test", { session: chosen.id, target_kbps, duration_ms: 2000 }));
  };
  return (
    <Card title="Speed test">
      <p>
        Sends filler the way pictures are sent, for two seconds, to a client that is connected; its picture waits
        meanwhile.
      </p>
      <form class="inline" onSubmit={start}>
        <label>
          Client{" "}
          <select
            value={chosen?.id}
            disabled={streaming.length === 0}
            onChange={(event) => setSession(Number(event.currentTarget.value))}
          >
            {streaming.map((one) => (
              <option key={one.id} value={one.id}>
                {one.client}
              </option>
            ))}
          </select>
        </label>
        <label>
          Mbit/s{" "}
          <input
            type="number"
            min="0.5"
            max="10000"
            step="any"
            required
            value={mbit}
            onInput={(event) => setMbit(event.currentTarget.value)}
          />
        </label>
        <button type="submit" class="primary" disabled={busy || !chosen || running}>
          Start
        </button>
      </form>
      {streaming.length === 0 && <p class="soft">No client is connected.</p>}
      <Oops failure={failure} />
      {status.speed_test && <Result test={status.speed_test} />}
    </Card>
  );
}
