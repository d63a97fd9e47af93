// Everything that a simulated run decides, does to its disk and delivers, as one hash: two runs of one seed must have
// the same. The last lines are kept for whoever has to find out what went wrong.
import { createHash } from 'node:crypto';

const LINES_KEPT = 400;

export class Trace {
  /** Lines so far. */
  count = 0;
  private readonly hash = createHash('sha256');
  private readonly verbose: boolean;
  private lines: string[] = [];

  /** `verbose`: every line is kept. */
  constructor(verbose = false) {
    this.verbose = verbose;
  }

  add(line: string): void {
    this.count++;
    this.hash.update(line).update('\n');
    this.lines.push(line);
    if (!this.verbose && this.lines.length >= 2 * LINES_KEPT) this.lines = this.lines.slice(-LINES_KEPT);
  }

  /** The hash of all lines so far. */
  get digest(): string {
    return this.hash.copy().digest('hex');
  }

  /** The lines that are kept, the newest last. */
  get tail(): readonly string[] {
    return this.lines;
  }
}
