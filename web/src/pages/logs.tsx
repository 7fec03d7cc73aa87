import { useEffect, useRef, useState } from "preact/hooks";
import { ask, type LogLine } from "../api";
import { Card, Oops, useTask } from "../parts";

const LEVELS = ["ERROR", "WARN", "INFO", "DEBUG", "TRACE"];
const KEPT = 1000;
const AGAIN_MS = 1000;

export function Logs() {
  const [lines, setLines] = useState<LogLine[]>([]);
  const [level, setLevel] = useState("INFO");
  const { failure, run } = useTask();
  const last = useRef(0);
  useEffect(() => {
    const look = () =>
      run(async () => {
        const more = await ask<LogLine[]>("GET", `logs?after=${last.current}`);
        const [first, newest] = [more[0], more.at(-1)];
        if (!first || !newest) return;
        // A host that starts anew counts its lines anew.
        const isAnew = first.number <= last.current;
        last.current = newest.number;
        setLines((all) => [...(isAnew ? [] : all), ...more].slice(-KEPT));
      });
    look();
    const timer = setInterval(look, AGAIN_MS);
    return () => clearInterval(timer);
  }, []);
  const shown = lines.filter((line) => LEVELS.indexOf(line.level) <= LEVELS.indexOf(level));
  return (
    <Card
      title="Log"
      actions={
        <label>
          Down to{" "}
          <select value={level} onChange={(event) => setLevel(event.currentTarget.value)}>
            {LEVELS.map((one) => (
              <option key={one}>{one}</option>
            ))}
          </select>
        </label>
      }
    >
      <Oops failure={failure} />
      <ol class="log" role="log" aria-live="off" aria-label="The program's log, the newest line first" tabIndex={0}>
        {shown.toReversed().map((line) => (
          <li key={line.number}>
            <time dateTime={new Date(line.at_ms).toISOString()}>{new Date(line.at_ms).toLocaleTimeString([], { hourCycle: "h23" })}</time>{" "}
            <span class={`level level-${line.level.toLowerCase()}`}>{line.level}</span>{" "}
            <span class="soft">{line.target}</span> {line.text}
          </li>
        ))}
      </ol>
      {shown.length === 0 && <p>Nothing was said at this level.</p>}
    </Card>
  );
}
