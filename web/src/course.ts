// The last two minutes of each session, for the plots.
import type { Session, Status } from "./api";

export const KEPT_S = 120;

export interface Point {
  at: number;
  session: Session;
}

export class Course {
  private points = new Map<number, Point[]>();
  private at = 0;
  private uptime = 0;

  add(status: Status): void {
    // A host that starts anew counts its sessions anew.
    if (status.uptime_s < this.uptime) this.points.clear();
    else if (status.at_ms === this.at) return;
    this.at = status.at_ms;
    this.uptime = status.uptime_s;
    for (const session of status.sessions) {
      const points = this.points.get(session.id) ?? [];
      points.push({ at: status.at_ms, session });
      const first = points.findIndex((point) => point.at >= status.at_ms - KEPT_S * 1000);
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
