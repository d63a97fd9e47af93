// Which messages of a stream are shown: all of them while they come slowly, every n-th once they come fast, never more
// than a page can draw. It counts both, so that the page can say what is left out.

/** Messages that may be shown at once, and how many more each second. */
const BURST_MAX = 200;
const SHOWN_PER_S = 60;
/** Seconds that rate() and oneOf() look back. */
const LOOK_BACK = 3;

interface Look {
  readonly at: number;
  readonly received: number;
  readonly shown: number;
}

export class Sampler {
  received = 0;
  private shown = 0;
  private stride = 1;
  private allowance = BURST_MAX;
  private readonly looks: Look[] = [];

  /** Counts one message; true if it is to be shown. HOT */
  count(): boolean {
    this.received++;
    if (this.allowance < 1 || this.received % this.stride !== 0) return false;
    this.allowance--;
    this.shown++;
    return true;
  }

  /** Counts one message that is not shown in any case. */
  skip(): void {
    this.received++;
  }

  /** To be called about once a second. */
  tick(nowMs: number): void {
    const last = this.looks.at(-1);
    if (last) {
      const seconds = (nowMs - last.at) / 1000;
      this.allowance = Math.min(BURST_MAX, this.allowance + seconds * SHOWN_PER_S);
      this.stride = Math.max(1, Math.ceil((this.received - last.received) / seconds / SHOWN_PER_S));
    }
    this.looks.push({ at: nowMs, received: this.received, shown: this.shown });
    if (this.looks.length > LOOK_BACK) this.looks.shift();
  }

  /** Messages a second over the last seconds. */
  get perSecond(): number | undefined {
    const [first, last] = [this.looks[0], this.looks.at(-1)];
    if (!first || !last || first === last) return undefined;
    return ((last.received - first.received) / (last.at - first.at)) * 1000;
  }

  /** n, where 1 of every n messages of the last seconds was shown; 1: all of them. */
  get oneOf(): number {
    const [first, last] = [this.looks[0], this.looks.at(-1)];
    if (!first || !last) return 1;
    const received = last.received - first.received;
    return received === 0 ? 1 : Math.ceil(received / Math.max(1, last.shown - first.shown));
  }
}
