// A member's life in its group: it asks for its assignment for as long as it lives, each time held by the coordinator
// until there is news, and commits how far it is. Knows nothing of reading or handlers.
import type { CodeName, RingmqError } from '../base/codes.ts';
import type { AssignedQueue, Call, GroupAssignment, GroupFrom, GroupOrder, QueueRef } from '../wire/services.ts';
import { SESSION_MS } from '../wire/services.ts';
import { asRefusal } from './sent.ts';

export interface MemberIdentity {
  readonly group: string;
  readonly topic: string;
  readonly member: string;
  readonly client: string;
  readonly from: GroupFrom;
  readonly order: GroupOrder;
  readonly filter: string;
}

export interface MemberHost {
  /** Queues that it holds, those that it is giving up among them. */
  owned(): readonly QueueRef[];
  /** What it shall hold. True if that is something new. */
  assigned(assignment: GroupAssignment): boolean;
  /** It may be no member any more, and others may have its queues: or it is sure again. */
  doubts(isInDoubt: boolean): void;
  /** The group goes on without it: everything that it holds belongs to others. Settles when its handlers are done. */
  lost(): Promise<void>;
  /** It cannot be a member: for good (`isOver`), or until the broker is started again. */
  refused(error: RingmqError, isOver: boolean): void;
}

/** A call is held for this long: well below the session. */
const WAIT_MS = 3_000;
/** Beyond what it is held: then something is wrong with the way, and it is asked again. */
const ANSWER_MS = 4_000;
const RETRY_MIN_MS = 50;
const RETRY_MAX_MS = 1_000;
/** The group goes on without the member, or (a broker without a data folder) knows nothing of it any more. */
const IS_OVER: ReadonlySet<CodeName> = new Set(['stale-generation', 'unknown-group']);
/** A client may outlive it: told, and asked again. */
const DISK_FAILED: CodeName = 'store-failed';
/** Answers without news come no faster than this. */
const AGAIN_MS = 50;

export class GroupMember {
  private readonly call: Call;
  private readonly identity: MemberIdentity;
  private readonly host: MemberHost;
  private generation = 0;
  private sessionMs = SESSION_MS;
  private heardAt = 0;
  private joined = false;
  /** It asked to join, and has not heard what came of it. */
  private mayBeOne = false;
  private left = false;
  private failures = 0;
  private lastFailure = '';
  private isInDoubt = false;
  /** Counts its lives: answers to an earlier one do not count. */
  private life = 0;
  /** It drops what it held, before it joins again. */
  private losing: Promise<void> | undefined;
  private wakeUp: (() => void) | undefined;

  constructor(call: Call, identity: MemberIdentity, host: MemberHost) {
    this.call = call;
    this.identity = identity;
    this.host = host;
  }

  /** Joins, and stays until leave(). */
  async live(): Promise<void> {
    while (!this.left) {
      await this.losing;
      const { life } = this;
      const askedAt = performance.now();
      try {
        const answer = await this.sync();
        if (this.left) return;
        const isNew = answer !== undefined && life === this.life && this.heard(answer);
        if (!isNew && performance.now() - askedAt < AGAIN_MS) await this.pauseFor(AGAIN_MS);
      } catch (error) {
        if (this.left) return;
        if (life === this.life && !(await this.getsOver(asRefusal(error)))) return;
      }
    }
  }

  /** Some times a second. */
  housekeep(now: number): void {
    if (this.joined && now - this.heardAt > this.sessionMs) this.doubt(true);
  }

  /** Does not wait any longer for what it is waiting for: there is news to tell. */
  wake(): void {
    this.wakeUp?.();
  }

  /** Settles when these are acknowledged, or (`anew`) begin where this says. Rejects with what the coordinator says. */
  async commit(queues: readonly AssignedQueue[], anew = false): Promise<void> {
    const { group, topic, member } = this.identity;
    const { life, generation } = this;
    try {
      const params = { group, topic, member, generation, queues, ...(anew ? { anew } : {}) };
      await this.call('group-commit', params, { timeoutMs: ANSWER_MS });
    } catch (error) {
      const isOurs = life === this.life && !this.left;
      if (isOurs && IS_OVER.has(asRefusal(error).code)) await this.beginAnew();
      throw error;
    }
  }

  /** It holds nothing any more. What the coordinator says to that is of no interest: a session that ends leaves too. */
  async leave(): Promise<void> {
    const { group, topic, member } = this.identity;
    this.end();
    if (this.joined) await this.call('group-leave', { group, topic, member }, { timeoutMs: ANSWER_MS }).catch(() => {});
  }

  /** Asks no more. */
  end(): void {
    this.left = true;
    this.wake();
  }

  /** Undefined: woken before the answer. */
  private sync(): Promise<GroupAssignment | undefined> {
    const { generation } = this;
    // Nothing is handed on until there is an answer.
    const waitMs = this.isInDoubt ? 0 : WAIT_MS;
    const params = { ...this.identity, generation, owned: this.host.owned(), waitMs };
    const answer = this.call('group-sync', params, { timeoutMs: ANSWER_MS });
    const woken = new Promise<undefined>((resolve) => {
      this.wakeUp = () => resolve(undefined);
    });
    answer.catch(() => {});
    return Promise.race([answer.then(({ result }) => result), woken]);
  }

  private heard(assignment: GroupAssignment): boolean {
    this.joined = true;
    this.failures = 0;
    this.lastFailure = '';
    this.heardAt = performance.now();
    this.generation = assignment.generation;
    this.sessionMs = assignment.sessionMs;
    this.doubt(false);
    return this.host.assigned(assignment);
  }

  /** False: it ends. */
  private async getsOver(error: RingmqError): Promise<boolean> {
    if (IS_OVER.has(error.code)) {
      await this.beginAnew();
      return true;
    }
    // The member that is there already may be this one, before its connection was lost.
    const isGhost = error.code === 'member-exists' && (this.joined || this.mayBeOne);
    const mayPass = error.retryable || error.code === 'timeout' || error.code === DISK_FAILED;
    if (!isGhost && !mayPass) {
      this.left = true;
      this.host.refused(error, true);
      return false;
    }
    if (error.code === DISK_FAILED && this.lastFailure !== error.message) this.host.refused(error, false);
    this.lastFailure = error.message;
    this.mayBeOne = true;
    // The front end takes members out whose session has ended.
    if (error.code === 'connection-lost' && this.joined) this.doubt(true);
    this.failures++;
    await this.pauseFor(Math.min(RETRY_MIN_MS * 2 ** Math.min(this.failures, 10), RETRY_MAX_MS));
    return true;
  }

  private doubt(isInDoubt: boolean): void {
    if (isInDoubt === this.isInDoubt) return;
    this.isInDoubt = isInDoubt;
    this.host.doubts(isInDoubt);
  }

  private async beginAnew(): Promise<void> {
    this.life++;
    this.generation = 0;
    this.losing = this.host.lost();
    this.wake();
    await this.losing;
  }

  private async pauseFor(ms: number): Promise<void> {
    let timer: ReturnType<typeof setTimeout> | undefined;
    await new Promise<void>((resolve) => {
      this.wakeUp = resolve;
      timer = setTimeout(resolve, ms);
    });
    clearTimeout(timer);
  }
}
