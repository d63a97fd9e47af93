// Work that asks the log many questions: so much of it goes on at a time, the rest waits in order. The line of
// questions itself stays short for those who ask a single one.

export class Turns {
  private readonly most: number;
  private running = 0;
  private readonly waiting: (() => void)[] = [];

  constructor(most: number) {
    this.most = most;
  }

  /** Runs it when it is its turn. */
  async take<T>(run: () => Promise<T>): Promise<T> {
    if (this.running < this.most) this.running++;
    else await new Promise<void>((resolve) => this.waiting.push(resolve));
    try {
      return await run();
    } finally {
      const next = this.waiting.shift();
      // Its turn is handed on: nobody who comes now is faster.
      if (next) next();
      else this.running--;
    }
  }
}
