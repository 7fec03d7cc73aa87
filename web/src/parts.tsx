// Small things that several pages are put together from.
import type { ComponentChildren } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
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

export function Facts({ facts, large = false }: { facts: [string, ComponentChildren][]; large?: boolean }) {
  return (
    <dl class={large ? "facts large" : "facts"}>
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

// Something that is asked of the host: whether its answer is awaited, and why the last one was none.
export function useTask(): { busy: boolean; failure: Failure | null; run: (task: () => Promise<unknown>) => void } {
  const [busy, setBusy] = useState(false);
  const [failure, setFailure] = useState<Failure | null>(null);
  const run = (task: () => Promise<unknown>) => {
    setBusy(true);
    task()
      .then(() => setFailure(null))
      .catch((error: unknown) => setFailure(error instanceof Failure ? error : new Failure(0, String(error), "")))
      .finally(() => setBusy(false));
  };
  return { busy, failure, run };
}

interface SureProps {
  label: string;
  // What it is done to: said by screen readers, which have no row to see it by.
  of: string;
  sure: string;
  onSure: () => void;
  disabled?: boolean;
}

// A button that asks once more before it does what cannot be undone. The focus goes along; Escape keeps things as they are.
export function Sure({ label, of, sure, onSure, disabled }: SureProps) {
  const [asking, setAsking] = useState(false);
  const place = useRef<HTMLSpanElement>(null);
  const turned = useRef(false);
  const turn = (next: boolean) => {
    turned.current = true;
    setAsking(next);
  };
  useEffect(() => {
    if (turned.current) place.current?.querySelector<HTMLButtonElement>("button:last-child")?.focus();
  }, [asking]);
  return (
    <span class="buttons" ref={place} onKeyDown={(event) => event.key === "Escape" && asking && turn(false)}>
      {asking ? (
        <>
          <button type="button" class="danger" onClick={() => (turn(false), onSure())}>
            {sure}
          </button>
          <button type="button" onClick={() => turn(false)}>
            Keep
          </button>
        </>
      ) : (
        <button type="button" disabled={disabled ?? false} aria-label={`${label} ${of}`} onClick={() => turn(true)}>
          {label}
        </button>
      )}
    </span>
  );
}

// A text field or the like under its name.
export function Field({ name, children }: { name: string; children: ComponentChildren }) {
  return (
    <label class="field">
      <span>{name}</span>
      {children}
    </label>
  );
}
