import { useEffect, useRef, useState } from "preact/hooks";
import { ask, type LogLine } from "../api";
import { Card, Oops, useTask } from "../parts";

const LEVELS = ["ERROR", "WARN", "INFO", "DEBUG"];
const KEPT = 1000;

export function Logs() {
  const [lines, setLines] = useState<LogLine[]>([]);
  const [level, setLevel] = useState("INFO");
  const { failure, run } = useTask();
  const last = useRef(0);
  useEffect(() => {
    const look = () =>
      run(async () => {
        const more = await ask<LogLine[]>("GET", `logs?after=${last.current}`);
        last.current = more.at(-1)?.number ?? last.current;
        if (more.length > 0) setLines((all) => [...all, ...more].slice(-KEPT));
      });
    look();
    const timer = setInterval(look, 1000);
    return () => clearInterval(timer);
  }, []);
  const shown = lines.filter((line) => LEVELS.indexOf(line.level) <= LEVELS.indexOf(level));
  return (
    <Card
      title="Log"
      actions={
        <label>
          From{" "}
          <select value={level} onChange={(event) => setLevel(event.currentTarget.value)}>
            {LEVELS.map((one) => (
              <option key={one}>{one}</option>
            ))}
          </select>
        </label>
      }
    >
      <Oops failure={failure} />
      <ol class="log" role="log" aria-label="The program's log" tabIndex={0}>
        {shown.toReversed().map((line) => (
          <li key={line.number}>
            <time>{new Date(line.at_ms).toLocaleTimeString()}</time>{" "}
            <span class={`level level-${line.level.toLowerCase()}`}>{line.level}</span>{" "}
            <span class="soft">{line.target}</span> {line.text}
          </li>
        ))}
      </ol>
    </Card>
  );
}
