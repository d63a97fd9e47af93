// The bounded queue between deliveries and an async iterator: reading stops when it is full and goes on when half of it
// is gone.

export class MessageQueue<M> {
  private readonly limit: number;
  private readonly onWanted: () => void;
  private items: M[] = [];
  private taken = 0;
  private stopped = false;
  private ended = false;
  private error: Error | undefined;
  private readonly waiting: { resolve(item: M | undefined): void; reject(error: Error): void }[] = [];

  constructor(limit: number, onWanted: () => void) {
    this.limit = limit;
    this.onWanted = onWanted;
  }

  /** True if put() should not be called now. */
  get full(): boolean {
    if (this.items.length - this.taken < this.limit) return false;
    this.stopped = true;
    return true;
  }

  put(item: M): void {
    const waiting = this.waiting.shift();
    if (waiting) waiting.resolve(item);
    else this.items.push(item);
  }

  /** The next item if there is one: saves a promise. */
  take(): M | undefined {
    if (this.taken === this.items.length) return undefined;
    const item = this.items[this.taken];
    this.taken++;
    // Given up in pieces: a queue that never runs empty must not keep what was taken.
    if (this.taken === this.items.length || this.taken >= this.limit) {
      this.items = this.items.slice(this.taken);
      this.taken = 0;
    }
    if (this.stopped && this.items.length - this.taken <= this.limit >> 1) {
      this.stopped = false;
      this.onWanted();
    }
    return item;
  }

  /** The next item, undefined at the end. Rejects if the source failed. */
  next(): Promise<M | undefined> {
    const item = this.take();
    if (item !== undefined) return Promise.resolve(item);
    if (this.error) return Promise.reject(this.error);
    if (this.ended) return Promise.resolve(undefined);
    return new Promise((resolve, reject) => {
      this.waiting.push({ resolve, reject });
    });
  }

  end(error: Error | undefined): void {
    if (this.ended) return;
    this.ended = true;
    this.error = error;
    for (const waiting of this.waiting.splice(0)) {
      if (error) waiting.reject(error);
      else waiting.resolve(undefined);
    }
  }
}
