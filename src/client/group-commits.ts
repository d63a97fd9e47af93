// When a member of a group commits, and what: queues in which something has happened, at most so many numbers a call.
import { RingmqError } from '../base/codes.ts';
import type { AssignedQueue } from '../wire/services.ts';
import { asError } from './group-handling.ts';
import type { GroupMember } from './group-member.ts';
import type { HeldQueue } from './group-queue.ts';
import { asRefusal } from './sent.ts';

/** Numbers in one call: a lane's frame has room for some hundred KiB. */
const NUMBERS_MAX = 16_384;
/** The last commit of a queue is worth some attempts: what it does not say is delivered again. */
const LAST_ATTEMPTS = 5;
const LAST_RETRY_MS = 200;

export interface CommitsHost<T> {
  /** Brings the queues up to date. */
  note(): void;
  held(): Iterable<HeldQueue<T>>;
  tell(error: Error): void;
}

export class GroupCommits<T> {
  private readonly everyMs: number;
  private readonly member: GroupMember;
  private readonly host: CommitsHost<T>;
  private underWay: Promise<void> | undefined;
  private dueAt = 0;
  private lastFailure = '';
  /** Queues that others have now, and of which something was handled and not committed. */
  private readonly lostNames = new Set<string>();

  constructor(everyMs: number, member: GroupMember, host: CommitsHost<T>) {
    this.everyMs = everyMs;
    this.member = member;
    this.host = host;
  }

  /** Some times a second. */
  tick(now: number): void {
    if (now < this.dueAt || this.underWay || this.everyMs === Number.POSITIVE_INFINITY) return;
    this.dueAt = now + this.everyMs;
    this.now().then(
      () => {
        this.lastFailure = '';
      },
      (error: unknown) => this.failed(asRefusal(error)),
    );
  }

  /** These belong to others now: what was handled and not committed is handled again. */
  lost(queues: readonly HeldQueue<T>[]): void {
    for (const { dirty, name } of queues) if (dirty) this.lostNames.add(name);
  }

  /** A handler was done with something of a queue that others have now. */
  late({ name }: HeldQueue<T>): void {
    this.lostNames.add(name);
  }

  /**
   * For the application: settles when everything that was handled up to now is acknowledged. Rejects, once, with
   * `stale-generation` if some of it belongs to others now, whoever tried to commit it.
   */
  async asked(): Promise<void> {
    try {
      await this.now();
    } catch (error) {
      if (asRefusal(error).code === 'stale-generation') this.lostNames.clear();
      throw error;
    }
    if (this.lostNames.size === 0) return;
    const names = [...this.lostNames].join(', ');
    this.lostNames.clear();
    const text = `the group went on without this member: what it had of ${names} is handled again`;
    throw new RingmqError('stale-generation', text);
  }

  /** Settles when what it holds is committed as it is now. One commit at a time: in order. */
  private async now(): Promise<void> {
    while (this.underWay) await this.underWay.catch(() => {});
    this.underWay = this.commit().finally(() => {
      this.underWay = undefined;
    });
    await this.underWay;
  }

  /** The last one of a queue. What goes wrong is told. */
  async last(): Promise<void> {
    for (let attempt = 1; ; attempt++) {
      try {
        await this.now();
        return;
      } catch (error) {
        const refusal = asRefusal(error);
        const again =
          refusal.code !== 'stale-generation' &&
          refusal.code !== 'unknown-group' &&
          (refusal.retryable || refusal.code === 'timeout');
        if (!again || attempt === LAST_ATTEMPTS) {
          this.failed(refusal);
          return;
        }
      }
      await new Promise((resolve) => setTimeout(resolve, LAST_RETRY_MS * attempt));
    }
  }

  private async commit(): Promise<void> {
    this.host.note();
    const dirty = [...this.host.held()].filter((one) => one.dirty && !one.moving);
    for (const one of dirty) one.dirty = false;
    try {
      for (const some of inParts(dirty.map((one) => one.wire()))) await this.member.commit(some);
    } catch (error) {
      for (const one of dirty) one.dirty = true;
      const held = new Set(this.host.held());
      this.lost(dirty.filter((one) => !held.has(one)));
      throw error;
    }
  }

  /** What mends itself is not told, and the same failure every second is told once. */
  private failed(error: RingmqError): void {
    const mends = error.retryable || ['timeout', 'closed', 'unknown-group', 'offset-out-of-range'].includes(error.code);
    if (mends || error.message === this.lastFailure) return;
    this.lastFailure = error.message;
    this.host.tell(asError(error));
  }
}

function* inParts(queues: readonly AssignedQueue[]): Iterable<AssignedQueue[]> {
  let part: AssignedQueue[] = [];
  let numbers = 0;
  for (const one of queues) {
    const length = one.acked.length + one.attempts.length + 2;
    if (part.length > 0 && numbers + length > NUMBERS_MAX) {
      yield part;
      part = [];
      numbers = 0;
    }
    part.push(one);
    numbers += length;
  }
  if (part.length > 0) yield part;
}
