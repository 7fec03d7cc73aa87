import { useEffect, useRef, useState } from "preact/hooks";
import { ask, type Device, type Status } from "../api";
import { Card, Oops, Sure, useTask } from "../parts";
import { moment, named, short } from "../words";

function Rename({ device, done }: { device: Device; done: () => void }) {
  const [name, setName] = useState(device.name);
  const { busy, failure, run } = useTask();
  const field = useRef<HTMLInputElement>(null);
  useEffect(() => field.current?.select(), []);
  const rename = (event: Event) => {
    event.preventDefault();
    run(async () => {
      await ask("PATCH", `devices/${device.fingerprint}`, { name });
      done();
    });
  };
  return (
    <form class="inline" onSubmit={rename} onKeyDown={(event) => event.key === "Escape" && done()}>
      <input
        ref={field}
        aria-label={`New name of ${named(device.name)}`}
        required
        maxLength={64}
        value={name}
        onInput={(event) => setName(event.currentTarget.value)}
      />
      <button type="submit" class="primary" disabled={busy}>
        Save
      </button>
      <button type="button" onClick={done}>
        Keep
      </button>
      <Oops failure={failure} />
    </form>
  );
}

function Row({ device, isConnected, changed }: { device: Device; isConnected: boolean; changed: () => void }) {
  const [renaming, setRenaming] = useState(false);
  const { busy, failure, run } = useTask();
  const button = useRef<HTMLButtonElement>(null);
  const wasRenaming = useRef(false);
  useEffect(() => {
    if (wasRenaming.current && !renaming) button.current?.focus();
    wasRenaming.current = renaming;
  }, [renaming]);
  const revoke = async () => {
    await ask("DELETE", `devices/${device.fingerprint}`);
    changed();
  };
  return (
    <li>
      <div>
        {renaming ? (
          <Rename device={device} done={() => (setRenaming(false), changed())} />
        ) : (
          <>
            <strong>{named(device.name)}</strong> {isConnected && <span class="badge">connected</span>}
          </>
        )}
        <div class="soft">
          <code title={device.fingerprint}>{short(device.fingerprint)}</code> ·{" "}
          {device.paired_at_s == null ? "trusted by the command line" : `paired ${moment(device.paired_at_s)}`}
          {device.last_seen_at_s != null && !isConnected && ` · last seen ${moment(device.last_seen_at_s)}`}
        </div>
        <Oops failure={failure} />
      </div>
      {!renaming && (
        <span class="buttons">
          <button
            type="button"
            ref={button}
            disabled={busy}
            aria-label={`Rename ${named(device.name)}`}
            onClick={() => setRenaming(true)}
          >
            Rename
          </button>
          <Sure
            label="Revoke"
            of={named(device.name)}
            sure="Revoke, and end its session"
            disabled={busy}
            onSure={() => run(revoke)}
          />
        </span>
      )}
    </li>
  );
}

export function Devices({ status }: { status: Status }) {
  const [devices, setDevices] = useState<Device[] | null>(null);
  const { failure, run } = useTask();
  const look = () => run(async () => setDevices(await ask<Device[]>("GET", "devices")));
  // Whoever pairs, connects or leaves changes the list.
  const turns = `${status.pairing.state}${status.pending.length}${status.sessions.map((one) => one.id).join()}`;
  useEffect(look, [turns]);
  const connected = new Set(status.sessions.map((session) => session.fingerprint));
  return (
    <Card title="Devices that may connect">
      <Oops failure={failure} />
      {devices === null ? (
        !failure && <p role="status">Looking…</p>
      ) : devices.length === 0 ? (
        <p>
          None is paired yet: <a href="#pairing">pair one</a>.
        </p>
      ) : (
        <ul class="rows">
          {devices.map((device) => (
            <Row
              key={device.fingerprint}
              device={device}
              isConnected={device.connected || connected.has(device.fingerprint)}
              changed={look}
            />
          ))}
        </ul>
      )}
    </Card>
  );
}
