import { ask, type Pairing as Window, type PendingDevice, type Status } from "../api";
import { Card, Oops, Sure, useTask } from "../parts";
import { groups, named, span } from "../words";

function words(window: Window): string {
  switch (window.state) {
    case "closed":
      return "No device can pair now.";
    case "armed":
      return "";
    case "paired":
      return `${window.paired ?? "A device"} is paired.`;
    case "failed":
      return `A device knew the PIN and could not be let in: ${window.fault ?? "the host's log says why"}.`;
    case "disarmed":
      return "Three wrong PINs closed the window.";
    case "expired":
      return "Nobody paired in time.";
  }
}

function Pin({ window }: { window: Window }) {
  const { busy, failure, run } = useTask();
  const isArmed = window.state === "armed" && window.pin;
  return (
    <Card
      title="Pair a device"
      actions={
        isArmed ? (
          <button type="button" disabled={busy} onClick={() => run(() => ask("DELETE", "pairing"))}>
            Cancel
          </button>
        ) : (
          <button
            type="button"
            class="primary"
            disabled={busy || (window.wait_s ?? 0) > 0}
            onClick={() => run(() => ask("POST", "pairing", {}))}
          >
            Show a PIN
          </button>
        )
      }
    >
      <Oops failure={failure} />
      {isArmed ? (
        <>
          <p>
            Type this at the device, after <code>punktfunk pair HOST</code>:
          </p>
          <output class="pin" aria-label={`PIN ${[...(window.pin ?? "")].join(" ")}`}>
            <span>{window.pin?.slice(0, 3)}</span>
            <span>{window.pin?.slice(3)}</span>
          </output>
          <progress max="120" value={window.left_s ?? 0} aria-label="Time left" />
          <p class="between">
            <span role="timer">{span(window.left_s ?? 0)} left</span>
            {window.failures > 0 && <span>{window.failures} of 3 wrong PINs</span>}
          </p>
        </>
      ) : (
        <p role="status">
          {words(window)}
          {(window.wait_s ?? 0) > 0 && ` The next PIN can be shown in ${span(window.wait_s ?? 0)}.`}
        </p>
      )}
    </Card>
  );
}

function Pending({ device }: { device: PendingDevice }) {
  const { busy, failure, run } = useTask();
  return (
    <li>
      <div>
        <strong>{named(device.name)}</strong>
        <div class="soft">
          from {device.remote}, waits for {span(device.left_s)} more
        </div>
        <code class="wrap">{groups(device.fingerprint)}</code>
        <Oops failure={failure} />
      </div>
      <span class="buttons">
        <button
          type="button"
          class="primary"
          disabled={busy}
          aria-label={`Approve ${named(device.name)}`}
          onClick={() => run(() => ask("POST", `pending/${device.id}/approve`, null))}
        >
          Approve
        </button>
        <Sure
          label="Deny"
          of={named(device.name)}
          sure="Turn it away"
          disabled={busy}
          onSure={() => run(() => ask("POST", `pending/${device.id}/deny`))}
        />
      </span>
    </li>
  );
}

export function Pairing({ status }: { status: Status }) {
  return (
    <>
      {status.open && (
        <p class="oops" role="note">
          <strong>This host lets everyone in</strong> — start it without --open to have devices paired first.
        </p>
      )}
      <Pin window={status.pairing} />
      <Card title="Devices that ask">
        {status.pending.length === 0 ? (
          <p>
            None waits. A device that is not paired asks by <code>punktfunk pair HOST --knock</code>; it waits two minutes
            for your word.
          </p>
        ) : (
          <>
            <p>Compare the fingerprint with what the device shows before you approve it.</p>
            <p class="unseen" role="status">
              {status.pending.map((device) => named(device.name)).join(", ")}
            </p>
            <ul class="rows">
              {status.pending.map((device) => (
                <Pending key={device.id} device={device} />
              ))}
            </ul>
          </>
        )}
      </Card>
    </>
  );
}
