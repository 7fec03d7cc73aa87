import { useState } from "preact/hooks";
import { ask, type Session, type Status } from "../api";
import { Card, Facts, Field, Oops, Sure, useTask } from "../parts";
import { bytes, count, micros, mode, named, rate, short, span, whose } from "../words";

const SIZES = ["1280x720", "1280x800", "1920x1080", "2560x1440", "3840x2160"];
const HERTZ = ["30", "60", "90", "120", "144"];

// `all`, with what is so now where it is not among them.
function choices(all: string[], now: string): string[] {
  return all.includes(now) ? all : [now, ...all];
}

// What the encoder is asked for, and what moved that last where it was not a wish.
function target({ target_kbps, target_reason }: Session): string {
  const why = target_reason && target_reason !== "asked" ? `, by ${target_reason}` : "";
  return `${rate(target_kbps)}${why}`;
}

// What took the place of what, and why.
function falls({ counts, falls }: Session): string {
  const each = falls.map((fall) => `${fall.from} → ${fall.to} ${count(fall.count)}× (${fall.reason})`);
  return [count(counts.fallbacks), ...each].join("; ");
}

// Bytes of pictures that did not stay where they were.
function copied({ copied_by_cpu: { capture, import: made, slices } }: Session): string {
  const where = { "out of the desktop": capture, "to the encoder": made, "out of it": slices };
  const each = Object.entries(where).filter(([, of]) => of > 0);
  return each.map(([words, of]) => `${bytes(of)} ${words}`).join(", ") || "nothing";
}

function Change({ session }: { session: Session }) {
  const now = {
    mbit: String(session.bitrate_kbps / 1000),
    size: `${session.mode.width}x${session.mode.height}`,
    hertz: String(session.mode.refresh_mhz / 1000),
  };
  const [wish, setWish] = useState<Partial<typeof now>>({});
  const { mbit, size, hertz } = { ...now, ...wish };
  const { busy, failure, run } = useTask();
  const change = (event: Event) => {
    event.preventDefault();
    const [width, height] = size.split("x").map(Number);
    const hasMode = size !== now.size || hertz !== now.hertz;
    const mode = hasMode ? { width, height, refresh_mhz: Math.round(Number(hertz) * 1000) } : null;
    run(async () => {
      await ask("PATCH", `sessions/${session.id}`, { bitrate_kbps: Math.round(Number(mbit) * 1000), mode });
      setWish({});
    });
  };
  const isStreaming = session.state === "streaming";
  return (
    <form class="inline" onSubmit={change} aria-label={`Change the session of ${whose(session)}`}>
      <Field name="Bitrate, Mbit/s">
        <input
          type="number"
          min="0.5"
          max="8000"
          step="any"
          required
          disabled={!isStreaming}
          value={mbit}
          onInput={(event) => setWish({ ...wish, mbit: event.currentTarget.value })}
        />
      </Field>
      <Field name="Picture">
        <select
          value={size}
          disabled={!isStreaming}
          onChange={(event) => setWish({ ...wish, size: event.currentTarget.value })}
        >
          {choices(SIZES, now.size).map((one) => (
            <option key={one} value={one}>
              {one.replace("x", " × ")}
            </option>
          ))}
        </select>
      </Field>
      <Field name="Rate, Hz">
        <select
          value={hertz}
          disabled={!isStreaming}
          onChange={(event) => setWish({ ...wish, hertz: event.currentTarget.value })}
        >
          {choices(HERTZ, now.hertz).map((one) => (
            <option key={one}>{one}</option>
          ))}
        </select>
      </Field>
      <button type="submit" disabled={busy || !isStreaming || Object.keys(wish).length === 0}>
        Change
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
      title={whose(session)}
      actions={
        <Sure
          label="End"
          of={whose(session)}
          sure="End this session"
          disabled={busy}
          onSure={() => run(() => ask("DELETE", `sessions/${session.id}`))}
        />
      }
    >
      <Oops failure={failure} />
      <Facts
        facts={[
          ["State", `${session.state} for ${span(session.age_s)}`],
          ["From", session.remote],
          ["Device", <code title={session.fingerprint}>{short(session.fingerprint)}</code>],
          ["Picture", mode(session.mode)],
          ["Source", session.source],
          ["Encoder", session.encoder],
          ["Cipher", session.cipher],
          ["Bitrate agreed", rate(session.bitrate_kbps)],
          ["Bitrate now", target(session)],
          ["Link, as far as proven", rate(session.link_kbps)],
          ["Round trip", micros(session.rtt_us)],
          ["Calls itself", named(session.client)],
          ["Pictures sent", `${count(counts.aus_sent)}, ${count(counts.idrs_sent)} of them IDRs`],
          ["Pictures decoded", count(counts.pictures_decoded)],
          ["Of them lost, late", `${count(counts.aus_lost)}, ${count(counts.aus_late)}`],
          ["Dropped here, there", `${count(counts.aus_dropped)}, ${count(counts.aus_dropped_there)}`],
          ["Shed before encode", count(counts.pictures_shed)],
          ["Datagrams", `${count(counts.datagrams_sent)}, ${count(counts.datagrams_resent)} of them again`],
          ["Fallbacks", falls(session)],
          ["Copied by the CPU", copied(session)],
        ]}
      />
      <Change session={session} />
    </Card>
  );
}

export function Sessions({ status }: { status: Status }) {
  if (status.sessions.length === 0) {
    return (
      <Card title="No session">
        <p>Nobody is connected.</p>
      </Card>
    );
  }
  return (
    <>
      {status.sessions.map((session) => (
        <One key={session.id} session={session} />
      ))}
    </>
  );
}
