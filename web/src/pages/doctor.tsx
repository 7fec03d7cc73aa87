import { useEffect, useState } from "preact/hooks";
import { ask, type Diagnosis } from "../api";
import { Card, Oops, useTask } from "../parts";

export function Doctor() {
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
      {busy && <p role="status">Looking at each link…</p>}
      <ul class="rows checks">
        {diagnosis?.checks.map((check) => (
          <li key={check.name}>
            <span class={`state state-${check.state}`}>{check.state === "ok" ? "OK" : check.state}</span>
            <div>
              <strong>{check.name}</strong> {check.found}
              {check.remedy && <div class="soft">{check.remedy}</div>}
            </div>
          </li>
        ))}
      </ul>
    </Card>
  );
}
