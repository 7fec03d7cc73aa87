import { useState } from "preact/hooks";
import { ask, type Session, type Status } from "../api";
import { Card, Facts, Oops, Sure, useTask } from "../parts";
import { micros, mode, rate, short, span } from "../words";

function Bitrate({ session }: { session: Session }) {
  const [mbit, setMbit] = useState(String(session.bitrate_kbps / 1000));
  const { busy, failure, run } = useTask();
  const change = (event: Event) => {
    event.preventDefault();
    run(() => ask("PATCH", `sessions/${session.id}`, { bitrate_kbps: Math.round(Number(mbit) * 1000) }));
  };
  return (
    <form class="inline" onSubmit={change}>
      <label>
        Bitrate, Mbit/s{" "}
        <input
          type="number"
          min="0.5"
          max="8000"
          step="any"
          required
          value={mbit}
          onInput={(event) => setMbit(event.currentTarget.value)}
        />
      </label>
      <button type="submit" disabled={busy || session.state !== "streaming"}>
        Set
      </button>
      <Oops failure={failure} />
    </form>
  );
}

function One({ session }: { session: Session }) {
  const { busy, failure, run } = useTask();
  const { counts } = session;
  return (
    <Card
      title={session.client || "a client without a name"}
      actions={
        <Sure
          label="End"
          sure="End this session"
          disabled={busy}
          onSure={() => run(() => ask("DELETE", `sessions/${session.id}`))}
        />
      }
    >
      <Oops failure={failure} />
      <Facts
        facts={[
          ["State", session.state],
          ["For", span(session.age_s)],
          ["From", session.remote],
          ["Device", <code title={session.fingerprint}>{short(session.fingerprint)}</code>],
          ["Picture", mode(session.mode)],
          ["Source", session.source],
          ["Encoder", session.encoder],
          ["Cipher", session.cipher],
          ["Agreed", rate(session.bitrate_kbps)],
          ["Link, as far as proven", rate(session.link_kbps)],
          ["Round trip", micros(session.rtt_us)],
          ["Sent", `${counts.aus_sent} pictures, ${counts.idrs_sent} of them IDRs`],
          ["Lost, late, dropped", `${counts.aus_lost}, ${counts.aus_late}, ${counts.aus_dropped}`],
          ["Shed before encode", String(counts.pictures_shed)],
          ["Sent again", `${counts.datagrams_resent} of ${counts.datagrams_sent} datagrams`],
          ["Fallbacks", String(counts.fallbacks)],
        ]}
      />
      <Bitrate session={session} />
    </Card>
  );
}

export function Sessions({ status }: { status: Status }) {
  if (status.sessions.length === 0) return <Card title="No session">Nobody is connected.</Card>;
  return (
    <>
      {status.sessions.map((session) => (
        <One key={session.id} session={session} />
      ))}
    </>
  );
}
