// Calls that carry what was asked for in one turn: a few are under way at once, and what comes while those wait travels
// in the next one.

/** Calls under way at once. */
const CALLS_MAX = 4;

export class GatheredCalls<E> {
  private readonly entriesMax: number;
  private readonly send: (entries: readonly E[]) => Promise<void>;
  private waiting: E[] = [];
  private underWay = 0;
  private asked = false;
  private readonly idle: (() => void)[] = [];

  /** `send` takes up to `entriesMax` entries, settles them, and never rejects. */
  constructor(entriesMax: number, send: (entries: readonly E[]) => Promise<void>) {
    this.entriesMax = entriesMax;
    this.send = send;
  }

  add(entry: E): void {
    this.waiting.push(entry);
    if (this.asked) return;
    this.asked = true;
    queueMicrotask(() => {
      this.asked = false;
      this.flush();
    });
  }

  /** Everything that was asked for is answered. */
  async drained(): Promise<void> {
    while (this.waiting.length + this.underWay > 0) await new Promise<void>((resolve) => this.idle.push(resolve));
  }

  private flush(): void {
    while (this.waiting.length > 0 && this.underWay < CALLS_MAX) {
      const { waiting } = this;
      const entries = waiting.length <= this.entriesMax ? waiting : waiting.splice(0, this.entriesMax);
      if (entries === waiting) this.waiting = [];
      this.underWay++;
      void this.send(entries).finally(() => {
        this.underWay--;
        this.flush();
        if (this.waiting.length + this.underWay === 0) for (const wake of this.idle.splice(0)) wake();
      });
    }
  }
}
