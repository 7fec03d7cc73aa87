import { useEffect, useState } from "preact/hooks";
import { ask, type Compositor, type Diagnosis } from "../api";
import { Card, Oops, useTask } from "../parts";

const STATES: Record<Diagnosis["checks"][number]["state"], string> = {
  ok: "OK",
  degraded: "degraded",
  broken: "broken",
};

/** How many there are of each kind, in words; those there are none of are left out. */
function sum(checks: Diagnosis["checks"]): string {
  const counts = Object.entries(STATES).map(([state, word]) => {
    const count = checks.filter((check) => check.state === state).length;
    return count > 0 ? [`${count} ${word}`] : [];
  });
  return `${checks.length} links were looked at: ${counts.flat().join(", ")}.`;
}

function Links() {
  const [diagnosis, setDiagnosis] = useState<Diagnosis | null>(null);
  const { busy, failure, run } = useTask();
  const look = () => run(async () => setDiagnosis(await ask<Diagnosis>("POST", "doctor")));
  useEffect(look, []);
  return (
    <Card
      title="Doctor"
      actions={
        <button type="button" disabled={busy} onClick={look}>
          Look again
        </button>
      }
    >
      <Oops failure={failure} />
      <p role="status">{busy ? "Looking at each link…" : diagnosis && sum(diagnosis.checks)}</p>
      <ul class="rows checks">
        {diagnosis?.checks.map((check) => (
          <li key={check.name}>
            <span class={`state state-${check.state}`}>{STATES[check.state]}</span>
            <div>
              <strong>{check.name}</strong> {check.found}
              {check.remedy && <div class="remedy">{check.remedy}</div>}
            </div>
          </li>
        ))}
      </ul>
    </Card>
  );
}

function Compositors() {
  const [compositors, setCompositors] = useState<Compositor[] | null>(null);
  const { failure, run } = useTask();
  useEffect(() => run(async () => setCompositors(await ask<Compositor[]>("GET", "compositors"))), []);
  return (
    <Card title="Compositors">
      <Oops failure={failure} />
      <ul class="rows checks">
        {compositors?.map((one) => (
          <li key={one.name}>
            <span class={`state state-${one.unusable == null ? "ok" : "off"}`}>
              {one.unusable == null ? "ready" : "not here"}
            </span>
            <div>
              <strong>{one.name}</strong> {one.version}
              {one.unusable && <div class="remedy">{one.unusable}</div>}
            </div>
          </li>
        ))}
      </ul>
    </Card>
  );
}

export function Doctor() {
  return (
    <>
      <Links />
      <Compositors />
    </>
  );
}
