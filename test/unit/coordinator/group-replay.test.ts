import fc from 'fast-check';
import { expect, test } from 'vitest';
import { RingmqError } from '../../../src/base/codes.ts';
import { SESSION_MS } from '../../../src/wire/services.ts';
import { GroupHouse, ScriptedMember } from '../../support/group-house.ts';

const MEMBERS = 3;
const QUEUES = ['t/0', 't/1', '%RETRY%g|t/0'];
const MESSAGES = 40;

const action = fc.oneof(
  { weight: 6, arbitrary: fc.record({ type: fc.constant('sync' as const), member: fc.nat(MEMBERS - 1) }) },
  {
    weight: 8,
    arbitrary: fc.record({
      type: fc.constant('commit' as const),
      member: fc.nat(MEMBERS - 1),
      queue: fc.nat(QUEUES.length - 1),
      floor: fc.nat(MESSAGES),
      more: fc.nat(MESSAGES),
      failed: fc.nat(MESSAGES - 1),
    }),
  },
  { weight: 2, arbitrary: fc.record({ type: fc.constant('publish' as const), queue: fc.nat(QUEUES.length - 1) }) },
  {
    weight: 1,
    arbitrary: fc.record({
      type: fc.constantFrom('leave' as const, 'vanish' as const, 'silence' as const),
      member: fc.nat(MEMBERS - 1),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      type: fc.constantFrom('restart' as const, 'late' as const, 'settings' as const, 'retry' as const),
    }),
  },
);
type Action = typeof action extends fc.Arbitrary<infer T> ? T : never;

/** All that a coordinator must still know after a restart. */
function kept({ book }: GroupHouse): unknown {
  return [...book.groups].map(({ name, settings, topics }) => {
    const read = [...topics.values()].map(({ topic, membership, queues }) => {
      const places = [...queues.values()].map((one) => [one.topic, one.topicId, one.partition, one.progress.wire()]);
      return [topic, membership.generation, places];
    });
    return [name, settings, read];
  });
}

/** Members that do as they like, and what the coordinator has told them it keeps. */
class Run {
  house = new GroupHouse();
  members: ScriptedMember[] = [];
  /** Acknowledged by a commit that was answered. */
  readonly acked = new Map<string, Set<number>>(QUEUES.map((queue) => [queue, new Set()]));
  readonly ends = new Map<string, number>(QUEUES.map((queue) => [queue, 0]));

  constructor() {
    this.house.topics.make('t', 2);
    this.renew();
  }

  async act(one: Action): Promise<void> {
    if (one.type === 'publish') this.publish(QUEUES[one.queue]);
    else if (!('member' in one)) await this.actAsBroker(one.type);
    else {
      const member = this.members[one.member];
      await this.actAs(member, one).catch((error: unknown) => {
        const code = error instanceof RingmqError ? error.code : undefined;
        if (code === 'coordinator-unavailable') return;
        if (code !== 'stale-generation') throw error;
        member.generation = 0;
        member.owned = [];
      });
    }
  }

  private async actAsBroker(what: 'restart' | 'late' | 'settings' | 'retry'): Promise<void> {
    if (what === 'restart') this.restart();
    else if (what === 'late') this.house.pass(SESSION_MS / 2);
    else if (what === 'settings') await this.settings();
    else await this.makeRetryTopic();
  }

  private async actAs(member: ScriptedMember, one: Extract<Action, { member: number }>): Promise<void> {
    if (one.type === 'sync') await this.sync(member);
    else if (one.type === 'commit') await this.commit(member, one);
    else if (one.type === 'leave') {
      await this.house.call('group-leave', { group: 'g', topic: 't', member: member.id });
    } else if (one.type === 'vanish') this.house.desk.seatLeft(member.seat);
    else this.house.pass(SESSION_MS / 2);
  }

  /** What a member is given has everything that anybody was told is acknowledged. */
  private async sync(member: ScriptedMember): Promise<void> {
    const before = new Set(member.owned);
    const { queues } = await member.sync();
    for (const { topic, partition, offset, acked } of queues) {
      const name = `${topic}/${partition}`;
      if (before.has(name)) continue;
      for (const at of this.acked.get(name) ?? []) {
        const isAcked = at < offset || acked.some((from, i) => i % 2 === 0 && from <= at && at < acked[i + 1]);
        expect(isAcked, `${name} at ${at}`).toBe(true);
      }
    }
    // Nobody is told to read what another one reads, as far as that one lives and has not joined anew.
    const membership = this.house.book.topic('g', 't')?.membership;
    for (const other of this.members) {
      const life = membership?.member(other.id);
      if (other === member || life === undefined || other.generation < life.joined) continue;
      expect(member.owned.filter((name) => other.owned.includes(name))).toEqual([]);
    }
  }

  private async commit(member: ScriptedMember, one: Extract<Action, { type: 'commit' }>): Promise<void> {
    // Mostly of what it holds; sometimes of what it does not.
    const name = one.more % 5 === 0 ? QUEUES[one.queue] : (member.owned[one.queue % member.owned.length] ?? QUEUES[0]);
    const end = this.ends.get(name) ?? 0;
    const floor = Math.min(one.floor, end);
    const from = Math.min(floor + 1 + (one.more % 5), end);
    const acked = from < end ? [from, Math.min(from + 2, end)] : [];
    const attempts = one.failed < end ? [one.failed, 2] : [];
    if (!this.house.book.queue('g', name.split('/')[0], Number(name.split('/')[1]))) return;
    await member.commit(name, floor, acked, attempts);
    const known = this.acked.get(name);
    for (let at = 0; at < floor; at++) known?.add(at);
    for (let at = acked[0] ?? 0; at < (acked[1] ?? 0); at++) known?.add(at);
  }

  private publish(name: string): void {
    const [topic, partition] = name.split('/');
    const end = this.ends.get(name) ?? 0;
    if (end >= MESSAGES || (topic !== 't' && !this.isRetryMade)) return;
    this.house.topics.publish(topic, Number(partition), 10);
    this.ends.set(name, end + 10);
  }

  private isRetryMade = false;

  private async makeRetryTopic(): Promise<void> {
    if (!this.isRetryMade) this.house.topics.make('%RETRY%g|t', 1);
    this.isRetryMade = true;
    await this.house.book.retryTopicMade('g', 't');
  }

  private async settings(): Promise<void> {
    const attemptsMax = 1 + (this.house.journal.records.length % 20);
    await this.house.call('group-settings', { group: 'g', settings: { attemptsMax } });
  }

  private restart(): void {
    const before = this.house;
    this.house = before.revived();
    // What was written, read again, is what was; so is what a snapshot says.
    expect(kept(this.house)).toEqual(kept(before));
    const snapshot = before.state.map((record) => JSON.stringify(record));
    expect(kept(new GroupHouse(before.topics, snapshot))).toEqual(kept(before));
    this.renew();
  }

  private renew(): void {
    const old = this.members;
    this.members = Array.from({ length: MEMBERS }, (_, i) => {
      const member = new ScriptedMember(this.house, `m${i}`, {}, 5 + i);
      // They do not know that the coordinator was started again.
      member.generation = old[i]?.generation ?? 0;
      member.owned = old[i]?.owned ?? [];
      return member;
    });
  }
}

test('through deaths and restarts nobody is given what was acknowledged, and the journal tells it all', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(action, { minLength: 20, maxLength: 100, size: 'max' }), async (actions) => {
      const run = new Run();
      for (const one of actions) await run.act(one);
      await run.act({ type: 'restart' });
      // In the end everything that is not acknowledged waits, and nothing else does.
      const { groups } = await run.house.call('group-list', {});
      let open = 0;
      for (const [name, end] of run.ends) {
        const [topic, partition] = name.split('/');
        const queue = run.house.book.queue('g', topic, Number(partition));
        if (queue) open += end - [...(run.acked.get(name) ?? [])].length;
      }
      expect(groups[0]?.lag ?? 0).toBe(open);
    }),
    { numRuns: 300 },
  );
});
