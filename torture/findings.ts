// What a checker found: anomalies, counted by kind, and of each kind the first ones described.
export interface Anomaly<Kind extends string = string> {
  readonly kind: Kind;
  readonly text: string;
}

/** Of each kind, as many are described. */
const TEXTS_MAX = 20;

export class Findings<Kind extends string> {
  readonly anomalies: Anomaly<Kind>[] = [];
  readonly counts = new Map<Kind, number>();

  protected found(kind: Kind, text: string): void {
    const count = (this.counts.get(kind) ?? 0) + 1;
    this.counts.set(kind, count);
    if (count <= TEXTS_MAX) this.anomalies.push({ kind, text });
  }
}
