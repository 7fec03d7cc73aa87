import { useEffect, useState } from "preact/hooks";
import { ask, type Recording, type Setting } from "../api";
import { Card, Oops, useTask } from "../parts";
import { bytes, quoted } from "../words";

function origin({ origin, place, needs_restart }: Setting, isNew: boolean): string {
  const from = {
    default: "by default",
    file: `from ${place}`,
    environment: `from the variable ${place}`,
    flag: `from the flag ${place}`,
  }[origin];
  if (!needs_restart) return `${from}; a change holds at once`;
  return isNew ? `${from}; holds once the host is started anew` : from;
}

function Row({ setting, changed }: { setting: Setting; changed: (setting: Setting) => void }) {
  const [value, setValue] = useState(setting.value);
  const [isNew, setIsNew] = useState(false);
  const { busy, failure, run } = useTask();
  const put = (next: string | null) =>
    run(async () => {
      const now = await ask<Setting>("PUT", `settings/${encodeURIComponent(setting.key)}`, { value: next });
      setValue(now.value);
      setIsNew(true);
      changed(now);
    });
  const save = (event: Event) => {
    event.preventDefault();
    put(value);
  };
  return (
    <li>
      <form class="setting" onSubmit={save}>
        <label for={`setting-${setting.key}`}>
          <code>{setting.key}</code>
          <span class="soft">{setting.help}</span>
        </label>
        <div>
          <div class="buttons">
            <input
              id={`setting-${setting.key}`}
              aria-describedby={`origin-${setting.key}`}
              value={value}
              disabled={!setting.writable}
              onInput={(event) => setValue(event.currentTarget.value)}
            />
            {setting.writable && (
              <button type="submit" disabled={busy || value === setting.value} aria-label={`Save ${setting.key}`}>
                Save
              </button>
            )}
            {setting.writable && setting.origin === "file" && (
              <button
                type="button"
                disabled={busy}
                aria-label={`Take ${setting.key} out of the file`}
                onClick={() => put(null)}
              >
                Default
              </button>
            )}
          </div>
          <div class="soft" id={`origin-${setting.key}`}>
            {origin(setting, isNew)}
          </div>
          <Oops failure={failure} />
        </div>
      </form>
    </li>
  );
}

function Recordings() {
  const [recordings, setRecordings] = useState<Recording[]>([]);
  const { busy, failure, run } = useTask();
  const look = async () => setRecordings(await ask<Recording[]>("GET", "recordings"));
  useEffect(() => run(look), []);
  const running = recordings.some((one) => one.running);
  const turn = () =>
    run(async () => {
      await ask(running ? "DELETE" : "POST", "recordings");
      await look();
    });
  return (
    <Card
      title="Latency recordings"
      actions={
        <button type="button" disabled={busy} onClick={turn}>
          {running ? "Stop" : "Record"}
        </button>
      }
    >
      <Oops failure={failure} />
      <p>
        Each stage's latency as HdrHistogram logs, for sessions from now on. The command beside a recording, given on the
        host, draws its first session; the others are <code>session-2</code> and on.
      </p>
      <ul class="rows">
        {recordings.map((one) => (
          <li key={one.name}>
            <code class="wrap">
              {one.sessions > 0 ? `punktfunk-perf report ${quoted(`${one.path}/session-1`)}` : one.path}
            </code>
            <span>
              {one.sessions === 1 ? "1 session" : `${one.sessions} sessions`}, {bytes(one.bytes)}{" "}
              {one.running && <span class="badge">records</span>}
            </span>
          </li>
        ))}
      </ul>
    </Card>
  );
}

export function Settings() {
  const [settings, setSettings] = useState<Setting[] | null>(null);
  const { failure, run } = useTask();
  useEffect(() => run(async () => setSettings(await ask<Setting[]>("GET", "settings"))), []);
  const changed = (setting: Setting) =>
    setSettings((all) => all?.map((one) => (one.key === setting.key ? setting : one)) ?? null);
  return (
    <>
      <Card title="Settings">
        <Oops failure={failure} />
        <p>
          What is saved goes into the host's file, and holds from its next start on where nothing else is said. Those in grey
          are set where the host is started, or in its file by hand.
        </p>
        <ul class="rows">
          {settings?.map((setting) => (
            <Row key={setting.key} setting={setting} changed={changed} />
          ))}
        </ul>
      </Card>
      <Recordings />
    </>
  );
}
