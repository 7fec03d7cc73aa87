// Small things that several pages are put together from.
import type { ComponentChildren } from "preact";
import { useState } from "preact/hooks";
import { Failure } from "./api";

export function Card({ title, children, actions }: { title: string; children: ComponentChildren; actions?: ComponentChildren }) {
  return (
    <section class="card">
      <header>
        <h2>{title}</h2>
        {actions}
      </header>
      {children}
    </section>
  );
}

export function Facts({ facts }: { facts: [string, ComponentChildren][] }) {
  return (
    <dl class="facts">
      {facts.map(([name, value]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  );
}

export function Oops({ failure }: { failure: Failure | null }) {
  if (!failure) return null;
  return (
    <p class="oops" role="alert">
      <strong>{failure.message}</strong>
      {failure.remedy && <> — {failure.remedy}</>}
    </p>
  );
}

export function useTask(): { busy: boolean; failure: Failure | null; run: (task: () => Promise<unknown>) => void } {
  const [busy, setBusy] = useState(false);
  const [failure, setFailure] = useState<Failure | null>(null);
  const run = (task: () => Promise<unknown>) => {
    setBusy(true);
    setFailure(null);
    task()
      .catch((error: unknown) => setFailure(error instanceof Failure ? error : new Failure(0, String(error), "")))
      .finally(() => setBusy(false));
  };
  return { busy, failure, run };
}

// A button that asks once more before it does what cannot be undone.
export function Sure({ label, sure, onSure, disabled }: { label: string; sure: string; onSure: () => void; disabled?: boolean }) {
  const [asking, setAsking] = useState(false);
  if (!asking) {
    return (
      <button type="button" disabled={disabled ?? false} onClick={() => setAsking(true)}>
        {label}
      </button>
    );
  }
  return (
    <span class="sure">
      <button type="button" class="danger" onClick={() => (setAsking(false), onSure())}>
        {sure}
      </button>
      <button type="button" onClick={() => setAsking(false)}>
        Keep
      </button>
    </span>
  );
}
