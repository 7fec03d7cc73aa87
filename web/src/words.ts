// Numbers and times in words.

export function rate(kbps: number | null | undefined): string {
  if (kbps == null) return "–";
  if (kbps < 1000) return `${Math.round(kbps)} kbit/s`;
  if (kbps < 1_000_000) return `${digits(kbps / 1000)} Mbit/s`;
  return `${digits(kbps / 1_000_000)} Gbit/s`;
}

export function micros(us: number | null | undefined): string {
  if (us == null) return "–";
  return us < 1000 ? `${us} µs` : `${digits(us / 1000)} ms`;
}

export function digits(value: number): string {
  return value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2);
}

export function mode(mode: { width: number; height: number; refresh_mhz: number }): string {
  return `${mode.width}×${mode.height} at ${mode.refresh_mhz / 1000} Hz`;
}

export function span(seconds: number): string {
  const whole = Math.max(0, Math.floor(seconds));
  const [hours, minutes, rest] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  const two = (part: number) => String(part).padStart(2, "0");
  return hours ? `${hours}:${two(minutes)}:${two(rest)}` : `${minutes}:${two(rest)}`;
}

export function moment(seconds: number | null | undefined): string {
  return seconds == null ? "–" : new Date(seconds * 1000).toLocaleString([], { dateStyle: "medium", timeStyle: "short" });
}

export function bytes(count: number): string {
  return count < 1_000_000 ? `${Math.ceil(count / 1000)} kB` : `${digits(count / 1_000_000)} MB`;
}

export function short(fingerprint: string): string {
  return `${fingerprint.slice(0, 8)}…${fingerprint.slice(-8)}`;
}

export function count(number: number | null | undefined): string {
  return number == null ? "–" : number.toLocaleString("en");
}

// A word of a command, as a shell reads it.
export function quoted(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}

export function named(client: string): string {
  return client || "a device without a name";
}

// A session's device: the name that it was paired by comes before what it calls itself.
export function whose(session: { device?: string | null; client: string }): string {
  return named(session.device || session.client);
}

// A fingerprint in groups of eight, to be compared by eye.
export function groups(fingerprint: string): string {
  return fingerprint.match(/.{1,8}/g)?.join(" ") ?? "";
}
