// Messages on their way back to the broker, because their handler failed: some calls at once, each repeated until the
// broker has the message or the queue belongs to somebody else.
import { STATE } from '../group/dispatch.ts';
import type { Call } from '../wire/services.ts';
import type { Returned } from './group-handling.ts';
import type { GroupEntry } from './group-queue.ts';
import { asRefusal } from './sent.ts';

/** Calls at once: where all handlers fail, that must not be all that the coordinator does. */
const UNDER_WAY_MAX = 64;
const RETRY_MIN_MS = 100;
const RETRY_MAX_MS = 5_000;

export interface ReturnsHost<T> {
  readonly call: Call;
  readonly names: { readonly group: string; readonly topic: string; readonly member: string };
  /** The broker has it: it counts as acknowledged. */
  taken(entry: GroupEntry<T>, deadLetter: boolean): void;
  /** The broker does not have it: it stays unacknowledged. */
  given(entry: GroupEntry<T>): void;
  tell(error: Error): void;
}

interface Job<T> {
  readonly entry: GroupEntry<T>;
  readonly returned: Returned;
}

export class GroupReturns<T> {
  private readonly host: ReturnsHost<T>;
  private readonly jobs: Job<T>[] = [];
  private underWay = 0;
  private closed = false;
  private finishing = false;
  private lastFailure = '';

  constructor(host: ReturnsHost<T>) {
    this.host = host;
  }

  add(entry: GroupEntry<T>, returned: Returned): void {
    this.jobs.push({ entry, returned });
    this.next();
  }

  /** What cannot be sent back with its next call is given up: whoever gets the queue then has it again. */
  finish(): void {
    this.finishing = true;
  }

  /** Repeats nothing any more. */
  close(): void {
    this.closed = true;
  }

  private next(): void {
    while (this.underWay < UNDER_WAY_MAX) {
      const job = this.jobs.shift();
      if (job === undefined) return;
      this.underWay++;
      void this.send(job).finally(() => {
        this.underWay--;
        this.next();
      });
    }
  }

  private async send({ entry, returned }: Job<T>): Promise<void> {
    const { owner } = entry.queue;
    const { epoch } = owner.progress;
    for (let waitMs = RETRY_MIN_MS; entry.state === STATE.leaving; waitMs = Math.min(waitMs * 2, RETRY_MAX_MS)) {
      try {
        const { result } = await this.host.call('send-back', {
          ...this.host.names,
          ...returned,
          queue: owner.ref(),
          epoch,
          offset: entry.offset,
          attempts: entry.failures,
        });
        this.host.taken(entry, result.deadLetter);
        return;
      } catch (error) {
        const refusal = asRefusal(error);
        if (this.closed) return;
        if (refusal.code === 'not-found') {
          this.tell(new Error(`${owner.name}@${entry.offset} is lost to the group: ${refusal.message}`));
          this.host.taken(entry, true);
          return;
        }
        if (this.finishing) {
          this.host.given(entry);
          return;
        }
        // Where the group goes on without this member its next sync says so. A coordinator that was started again
        // says it too, until this member has synced: then it holds the queue as before.
        if (!refusal.retryable && refusal.code !== 'stale-generation') this.tell(refusal);
      }
      await new Promise((resolve) => setTimeout(resolve, waitMs));
      if (this.closed) return;
    }
  }

  /** The same failure again and again is told once. */
  private tell(error: Error): void {
    if (error.message === this.lastFailure) return;
    this.lastFailure = error.message;
    this.host.tell(error);
  }
}
