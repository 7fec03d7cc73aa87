// The console: a page that follows the host's stream of statuses, and its parts.
import { render } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import "uplot/dist/uPlot.min.css";
import { Failure, keepToken, type Status, statuses, takeToken } from "./api";
import "./console.css";
import { Course } from "./course";
import { Card, Field } from "./parts";
import { Devices } from "./pages/devices";
import { Doctor } from "./pages/doctor";
import { Live } from "./pages/live";
import { Logs } from "./pages/logs";
import { Pairing } from "./pages/pairing";
import { Sessions } from "./pages/sessions";
import { Settings } from "./pages/settings";
import { Speed } from "./pages/speed";

const PAGES = [
  ["live", "Live"],
  ["sessions", "Sessions"],
  ["pairing", "Pairing"],
  ["devices", "Devices"],
  ["speed", "Speed test"],
  ["settings", "Settings"],
  ["doctor", "Doctor"],
  ["logs", "Log"],
] as const;
type PageName = (typeof PAGES)[number][0];

const AGAIN_MS = 1000;

function pageName(): PageName {
  const name = location.hash.slice(1);
  return PAGES.find(([known]) => known === name)?.[0] ?? "live";
}

function sentence({ message, remedy }: Failure): string {
  return `${message[0]?.toUpperCase()}${message.slice(1)}${remedy && `: ${remedy}`}.`;
}

function TokenGate({ refusal, given }: { refusal: string; given: (token: string) => void }) {
  const [token, setToken] = useState("");
  const enter = (event: Event) => {
    event.preventDefault();
    given(token.trim());
  };
  return (
    <main class="gate">
      <Card title="punktfunk">
        <form onSubmit={enter}>
          <p>
            This page steers a host. It wants the token that <code>punktfunk-host token</code> prints there.
          </p>
          {refusal && (
            <p class="oops" role="alert">
              {refusal}
            </p>
          )}
          <Field name="Token">
            <input
              type="password"
              autocomplete="off"
              spellcheck={false}
              required
              autofocus
              value={token}
              onInput={(event) => setToken(event.currentTarget.value)}
            />
          </Field>
          <button type="submit" class="primary">
            Enter
          </button>
        </form>
      </Card>
    </main>
  );
}

function Page({ name, status, course }: { name: PageName; status: Status; course: Course }) {
  switch (name) {
    case "live":
      return <Live status={status} course={course} />;
    case "sessions":
      return <Sessions status={status} />;
    case "pairing":
      return <Pairing status={status} />;
    case "devices":
      return <Devices status={status} />;
    case "speed":
      return <Speed status={status} />;
    case "settings":
      return <Settings />;
    case "doctor":
      return <Doctor />;
    case "logs":
      return <Logs status={status} />;
  }
}

function Console() {
  const [token, setToken] = useState(takeToken);
  const [refusal, setRefusal] = useState("");
  const [status, setStatus] = useState<Status | null>(null);
  const [trouble, setTrouble] = useState("");
  const [name, setName] = useState(pageName);
  const course = useRef(new Course());

  useEffect(() => {
    const title = PAGES.find(([known]) => known === name)?.[1];
    document.title = `${title} · ${status?.host_name ?? "punktfunk"}`;
  }, [name, status?.host_name]);

  useEffect(() => {
    const turn = () => {
      setToken(takeToken());
      setName(pageName());
    };
    addEventListener("hashchange", turn);
    return () => removeEventListener("hashchange", turn);
  }, []);

  useEffect(() => {
    if (!token) return;
    const stop = new AbortController();
    const seen = (next: Status) => {
      course.current.add(next);
      setTrouble("");
      setStatus(next);
    };
    const follow = async () => {
      while (!stop.signal.aborted) {
        try {
          await statuses(seen, stop.signal);
          setTrouble("The host has ended; this page goes on when it is back.");
        } catch (error) {
          if (stop.signal.aborted) return;
          if (error instanceof Failure && error.status === 401) {
            keepToken(null);
            setRefusal(sentence(error));
            setToken(null);
            return;
          }
          setTrouble(error instanceof Failure ? sentence(error) : "The host does not answer.");
        }
        await new Promise((done) => setTimeout(done, AGAIN_MS));
      }
    };
    void follow();
    return () => stop.abort();
  }, [token]);

  if (!token) {
    const given = (next: string) => {
      keepToken(next);
      setRefusal("");
      setToken(next);
    };
    return <TokenGate refusal={refusal} given={given} />;
  }
  const waiting = status?.pending.length ?? 0;
  return (
    <>
      <a
        class="skip"
        href="#main"
        onClick={(event) => {
          // The fragment names the page.
          event.preventDefault();
          document.getElementById("main")?.focus();
        }}
      >
        To the content
      </a>
      <header class="top">
        <div>
          <h1>
            <img src="/icon.svg" alt="" width="24" height="24" /> {status?.host_name ?? "punktfunk"}
          </h1>
          <nav aria-label="Pages">
            {PAGES.map(([known, title]) => (
              <a key={known} href={`#${known}`} aria-current={known === name ? "page" : undefined}>
                {title}
                {known === "pairing" && waiting > 0 && (
                  <span class="badge">
                    {waiting}
                    <span class="unseen"> waiting</span>
                  </span>
                )}
              </a>
            ))}
          </nav>
        </div>
      </header>
      <main id="main" tabIndex={-1}>
        {trouble && (
          <p class="oops" role="alert">
            {trouble}
          </p>
        )}
        {status ? (
          <Page name={name} status={status} course={course.current} />
        ) : (
          !trouble && <p role="status">Asking the host…</p>
        )}
      </main>
      <footer>
        punktfunk {status?.version} · <a href="/licences.txt">Licences</a> ·{" "}
        <button type="button" class="link" onClick={() => (keepToken(null), setToken(null))}>
          Forget the token
        </button>
      </footer>
    </>
  );
}

const place = document.getElementById("console");
if (place) {
  place.replaceChildren();
  render(<Console />, place);
}
