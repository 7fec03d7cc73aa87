import { useEffect, useState } from "preact/hooks";
import { ask, type Device, type Status } from "../api";
import { Card, Oops, Sure, useTask } from "../parts";
import { moment, short } from "../words";

function Row({ device, changed }: { device: Device; changed: () => void }) {
  const [name, setName] = useState<string | null>(null);
  const { busy, failure, run } = useTask();
  const path = `devices/${device.fingerprint}`;
  const rename = (event: Event) => {
    event.preventDefault();
    run(async () => {
      await ask("PATCH", path, { name });
      setName(null);
      changed();
    });
  };
  return (
    <li>
      <div>
        {name === null ? (
          <strong>{device.name}</strong>
        ) : (
          <form class="inline" onSubmit={rename}>
            <label>
              Name{" "}
              <input
                required
                maxLength={64}
                value={name}
                onInput={(event) => setName(event.currentTarget.value)}
                autofocus
              />
            </label>
            <button type="submit" disabled={busy}>
              Save
            </button>
          </form>
        )}{" "}
        {device.connected && <span class="badge">connected</span>}
        <div class="soft">
          <code title={device.fingerprint}>{short(device.fingerprint)}</code>, paired {moment(device.paired_at_s)}, last
          seen {moment(device.last_seen_at_s)}
        </div>
        <Oops failure={failure} />
      </div>
      <span class="buttons">
        <button type="button" disabled={busy} onClick={() => setName(name === null ? device.name : null)}>
          {name === null ? "Rename" : "Keep"}
        </button>
        <Sure
          label="Revoke"
          sure="Revoke, and end its session"
          disabled={busy}
          onSure={() => run(async () => (await ask("DELETE", path), changed()))}
        />
      </span>
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
  return (
    <Card title="Devices that may connect">
      <Oops failure={failure} />
      {devices === null ? (
        <p>Looking…</p>
      ) : devices.length === 0 ? (
        <p>None is paired yet.</p>
      ) : (
        <ul class="rows">
          {devices.map((device) => (
            <Row key={device.fingerprint} device={device} changed={look} />
          ))}
        </ul>
      )}
    </Card>
  );
}
