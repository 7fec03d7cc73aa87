// The management API: requests with the token, and the stream of statuses.
//
// The token lives in this tab's session storage and goes out as a bearer token only; there is no cookie that a page
// of somebody else's could make use of.
import type { components } from "./schema";

type Schemas = components["schemas"];
export type Status = Schemas["Status"];
export type Session = Schemas["Session"];
export type Latency = Schemas["Latency"];
export type Pairing = Schemas["Pairing"];
export type PendingDevice = Schemas["PendingDevice"];
export type Device = Schemas["Device"];
export type SpeedTest = Schemas["SpeedTest"];
export type SpeedTestRequest = Schemas["SpeedTestRequest"];
export type Setting = Schemas["Setting"];
export type Diagnosis = Schemas["Diagnosis"];
export type LogLine = Schemas["LogLine"];
export type Recording = Schemas["Recording"];
export type Compositor = Schemas["Compositor"];
type Problem = Schemas["Problem"];

const KEY = "punktfunk-token";

// `#token=…`, as `punktfunk-host token --url` prints it, is taken once and leaves the address bar.
export function takeToken(): string | null {
  const given = /^#token=([0-9a-f]{64})$/.exec(location.hash)?.[1];
  if (given) {
    sessionStorage.setItem(KEY, given);
    history.replaceState(null, "", location.pathname);
  }
  return sessionStorage.getItem(KEY);
}

export function keepToken(token: string | null): void {
  if (token) sessionStorage.setItem(KEY, token);
  else sessionStorage.removeItem(KEY);
}

// What went wrong, in the host's own words where it has any.
export class Failure extends Error {
  constructor(
    readonly status: number,
    message: string,
    readonly remedy: string,
  ) {
    super(message);
  }
}

async function failure(response: Response): Promise<Failure> {
  const problem = (await response.json().catch(() => null)) as Problem | null;
  return new Failure(response.status, problem?.error ?? `the host answered ${response.status}`, problem?.remedy ?? "");
}

function send(method: string, path: string, init: RequestInit = {}): Promise<Response> {
  const headers = new Headers(init.headers);
  headers.set("Authorization", `Bearer ${sessionStorage.getItem(KEY) ?? ""}`);
  return fetch(`/api/v1/${path}`, { ...init, method, headers, credentials: "omit" }).catch((error: unknown) => {
    if (init.signal?.aborted) throw late(error) ?? error;
    throw new Failure(0, "the host does not answer", "see whether it runs, and whether this device reaches it");
  });
}

// The host answers everything within 15 s, were it with a refusal.
const ANSWER_MS = 20_000;

function late(error: unknown): Failure | null {
  if (!(error instanceof DOMException && error.name === "TimeoutError")) return null;
  return new Failure(0, `the host has not answered for ${ANSWER_MS / 1000} s`, SILENT);
}

// A browser keeps six connections to a host, and each tab's stream of events holds one.
const SILENT = "see whether it runs, whether this device reaches it, and whether other tabs of this console can be closed";

function gone(error: unknown): never {
  throw error instanceof DOMException ? error : new Failure(0, "the host has gone", "this page goes on when it is back");
}

export async function ask<T>(method: string, path: string, body?: unknown): Promise<T> {
  const init: RequestInit =
    body === undefined ? {} : { body: JSON.stringify(body), headers: { "Content-Type": "application/json" } };
  const response = await send(method, path, { ...init, signal: AbortSignal.timeout(ANSWER_MS) });
  if (!response.ok) throw await failure(response);
  if (response.status === 204) return undefined as T;
  const answer = (await response.json().catch((error: unknown) => {
    throw late(error) ?? error;
  })) as T;
  return answer;
}

// The host says something four times a second; a network that has gone says nothing, not even that.
const SILENCE_MS = 5000;

function within<T>(promise: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(
      () => reject(new Failure(0, "the host has fallen silent", SILENT)),
      SILENCE_MS,
    );
    promise.then(resolve, reject).finally(() => clearTimeout(timer));
  });
}

// Calls `seen` with each status until `signal` says stop, the stream ends or nothing comes any more.
export async function statuses(seen: (status: Status) => void, signal: AbortSignal): Promise<void> {
  const ended = new AbortController();
  try {
    await follow(seen, AbortSignal.any([signal, ended.signal]));
  } finally {
    ended.abort();
  }
}

async function follow(seen: (status: Status) => void, signal: AbortSignal): Promise<void> {
  const response = await within(send("GET", "events", { signal }));
  if (!response.ok || !response.body) throw await failure(response);
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await within(reader.read().catch(gone));
    if (done) return;
    const events = (rest + value).split("\n\n");
    rest = events.pop() ?? "";
    for (const event of events) {
      const data = event
        .split("\n")
        .filter((line) => line.startsWith("data:"))
        .map((line) => line.slice(5).trimStart())
        .join("\n");
      if (data) seen(JSON.parse(data) as Status);
    }
  }
}
