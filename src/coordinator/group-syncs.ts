// Calls of members that are held until there is something to tell them: one for each member.
import { RingmqError } from '../base/codes.ts';
import type { Member } from '../group/membership.ts';
import { type Answered, type AssignedQueue, type GroupSettings, type GroupSync, SESSION_MS } from '../wire/services.ts';
import type { GroupTopic } from './group-state.ts';

/** Longest that a sync is held: a member shows its life twice a session. */
const WAIT_MAX_MS = SESSION_MS / 2;
/** Numbers in one answer: what does not fit is given with the next one. */
const NUMBERS_MAX = 16_000;

interface Held {
  readonly member: Member;
  readonly params: GroupSync;
  readonly owned: ReadonlySet<string>;
  readonly untilMs: number;
  readonly resolve: (answer: Answered<'group-sync'>) => void;
  readonly reject: (error: RingmqError) => void;
}

export class GroupSyncs {
  private readonly held = new Map<GroupTopic, Map<string, Held>>();
  /** What each member was told last: settings may change between two of its calls. */
  private readonly told = new WeakMap<Member, GroupSettings>();

  /** Answers now if there is news for the member, else when there is, or the time is up. */
  hold(
    subscription: GroupTopic,
    member: Member,
    params: GroupSync,
    owned: ReadonlySet<string>,
    nowMs: number,
  ): Promise<Answered<'group-sync'>> {
    // The member has given up waiting for the answer to the one before.
    this.refuse(subscription, member.id, new RingmqError('timeout', 'a later sync of the member took its place'));
    return new Promise((resolve, reject) => {
      let held = this.held.get(subscription);
      if (held === undefined) {
        held = new Map();
        this.held.set(subscription, held);
      }
      const untilMs = nowMs + Math.min(params.waitMs, WAIT_MAX_MS);
      held.set(member.id, { member, params, owned, untilMs, resolve, reject });
      member.held++;
    });
  }

  /** Answers those of a topic that have news: all members, or one. */
  wake(subscription: GroupTopic, nowMs: number, member?: string): void {
    const held = this.held.get(subscription);
    const { assignment, membership, group } = subscription;
    for (const one of member === undefined ? [...(held?.values() ?? [])] : [held?.get(member)]) {
      if (one === undefined) continue;
      const due = assignment.due(one.member.id);
      const isNews =
        one.params.generation !== membership.generation ||
        this.told.get(one.member) !== group.settings ||
        nowMs >= one.untilMs ||
        due.some((queue) => !one.owned.has(queue));
      if (isNews) this.answer(subscription, one, due, nowMs);
    }
  }

  /** Answers those whose time is up. */
  expire(nowMs: number): void {
    for (const [subscription, held] of [...this.held]) {
      if ([...held.values()].some(({ untilMs }) => nowMs >= untilMs)) this.wake(subscription, nowMs);
    }
  }

  /** Refuses the call of a member, or of all. */
  refuse(subscription: GroupTopic, id: string | undefined, error: RingmqError): void {
    const held = this.held.get(subscription);
    for (const one of id === undefined ? [...(held?.values() ?? [])] : [held?.get(id)]) {
      if (one === undefined) continue;
      this.release(subscription, one);
      one.reject(error);
    }
  }

  refuseAll(error: RingmqError): void {
    for (const subscription of [...this.held.keys()]) this.refuse(subscription, undefined, error);
  }

  private answer(subscription: GroupTopic, one: Held, due: readonly string[], nowMs: number): void {
    const { assignment, membership, group } = subscription;
    this.release(subscription, one);
    one.member.seenMs = nowMs;
    const queues: AssignedQueue[] = [];
    let numbers = 0;
    for (const key of due) {
      const queue = subscription.queues.get(key);
      if (queue === undefined) continue;
      const { topic, partition, progress } = queue;
      const isNew = !one.owned.has(key);
      if (isNew && numbers > NUMBERS_MAX) continue;
      // It knows better itself where it is in what it holds.
      const rest = { epoch: progress.epoch, offset: progress.floor, acked: [], attempts: [] };
      const wire = isNew ? progress.wire() : rest;
      numbers += wire.acked.length + wire.attempts.length;
      assignment.granted(one.member.id, [key]);
      queues.push({ topic, partition, ...wire });
    }
    const { generation } = membership;
    this.told.set(one.member, group.settings);
    one.resolve({ result: { generation, sessionMs: SESSION_MS, settings: group.settings, queues } });
  }

  private release(subscription: GroupTopic, one: Held): void {
    const held = this.held.get(subscription);
    held?.delete(one.member.id);
    if (held?.size === 0) this.held.delete(subscription);
    one.member.held--;
  }
}
