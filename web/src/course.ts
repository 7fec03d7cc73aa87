// The last two minutes of each session, for the plots.
import type { Session, Status } from "./api";

const KEPT_MS = 120_000;

export interface Point {
  at: number;
  session: Session;
}

export class Course {
  private points = new Map<number, Point[]>();

  add(status: Status): void {
    for (const session of status.sessions) {
      const points = this.points.get(session.id) ?? [];
      if (points.at(-1)?.at === status.at_ms) continue;
      points.push({ at: status.at_ms, session });
      const first = points.findIndex((point) => point.at >= status.at_ms - KEPT_MS);
      this.points.set(session.id, first > 0 ? points.slice(first) : points);
    }
    for (const id of this.points.keys()) {
      if (!status.sessions.some((session) => session.id === id)) this.points.delete(id);
    }
  }

  of(session: number): readonly Point[] {
    return this.points.get(session) ?? [];
  }
}
