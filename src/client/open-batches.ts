// Open batches of a connection in process: they are sent at the end of an event-loop turn, or sooner where a loop owns
// its thread and asks for it. Nobody looks through all producers for them.

export class OpenBatches {
  private flushes: (() => void)[] = [];
  private isAsked = false;

  /** `flush` runs once, at the next call of flushAll(). */
  add(flush: () => void): void {
    this.flushes.push(flush);
    if (this.isAsked) return;
    this.isAsked = true;
    setImmediate(() => {
      this.isAsked = false;
      this.flushAll();
    });
  }

  flushAll(): void {
    if (this.flushes.length === 0) return;
    const flushes = this.flushes;
    this.flushes = [];
    for (const flush of flushes) flush();
  }
}
