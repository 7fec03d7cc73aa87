import { useEffect, useRef, useState } from "preact/hooks";
import { ask, type LogLine, type Status } from "../api";
import { Card, Oops, useTask } from "../parts";

const LEVELS = ["ERROR", "WARN", "INFO", "DEBUG", "TRACE"];
const KEPT = 1000;
const AGAIN_MS = 1000;

export function Logs({ status }: { status: Status }) {
  const [lines, setLines] = useState<LogLine[]>([]);
  const [level, setLevel] = useState("INFO");
  const { failure, run } = useTask();
  const last = useRef(0);
  const uptime = useRef(status.uptime_s);
  // A host that starts anew counts its lines anew.
  if (status.uptime_s < uptime.current) last.current = 0;
  uptime.current = status.uptime_s;
  useEffect(() => {
    let timer: ReturnType<typeof setTimeout> | undefined;
    let isOver = false;
    const look = async () => {
      const after = last.current;
      const more = await ask<LogLine[]>("GET", `logs?after=${after}`);
      const [first, newest] = [more[0], more.at(-1)];
      if (!first || !newest || after !== last.current) return;
      const goesOn = after > 0 && first.number > after;
      last.current = newest.number;
      setLines((all) => [...(goesOn ? all : []), ...more].slice(-KEPT));
    };
    // The next only after the last was answered, however long that takes.
    const follow = () =>
      run(() =>
        look().finally(() => {
          if (!isOver) timer = setTimeout(follow, AGAIN_MS);
        }),
      );
    follow();
    return () => {
      isOver = true;
      clearTimeout(timer);
    };
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
