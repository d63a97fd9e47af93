// Every sabotage breaks one promise on purpose: a simulation that does not find it out is worth nothing.
import { describe, expect, test } from 'vitest';
import { RingConsumer } from '../../src/client/consumer.ts';
import { GroupHolding } from '../../src/client/group-holding.ts';
import { GroupOffsets } from '../../src/client/group-offsets.ts';
import { GroupReader } from '../../src/client/group-reader.ts';
import { InProcessConnection } from '../../src/client/in-process.ts';
import { RingProducer } from '../../src/client/producer.ts';
import { Requests } from '../../src/client/request-reply.ts';
import { Trace } from '../../src/client/trace.ts';
import { CommitOps } from '../../src/coordinator/commit-ops.ts';
import type { OpenJournal } from '../../src/coordinator/journal.ts';
import { LeaseGroup } from '../../src/coordinator/lease-group.ts';
import { SqlProgram } from '../../src/filter/sql-program.ts';
import { TagFilter } from '../../src/filter/tags.ts';
import { JsonSession } from '../../src/frontend/json-session.ts';
import { LeaseWindow } from '../../src/group/lease-window.ts';
import type { LogWriter } from '../../src/log/log-writer.ts';
import { Retention } from '../../src/log/retention.ts';
import type { StoreContext } from '../../src/store/store-context.ts';
import { type Breach, both, broken, firstGuilty, LIMIT_MS, type Method, testBreaches } from './breaking.ts';
import type { JournalSabotage } from './coordinator-thread.ts';
import { MESSAGING_SEEDS, type Sabotage } from './options.ts';
import type { MessagingPlan, Plan } from './plan.ts';

/** As it is, but for one method. */
function instead<K extends keyof LogWriter>(writer: LogWriter, method: K, value: LogWriter[K]): LogWriter {
  return new Proxy(writer, {
    get(target, key) {
      if (key === method) return value;
      const own: unknown = Reflect.get(target, key, target);
      return typeof own === 'function' ? own.bind(target) : own;
    },
  });
}

function inMode(mode: 'direct' | 'buffered'): (plan: Plan) => Plan {
  return (plan) => ({ ...plan, settings: { ...plan.settings, mode } });
}

const SABOTAGES: Readonly<Record<string, Sabotage>> = {
  'a sync that does nothing': { disk: { liesAboutSync: true }, plan: inMode('buffered') },
  'one write in thirty is forgotten by the disk': { disk: { dropsWrite: oneIn(30) } },
  'durable is said before the sync': {
    plan: inMode('buffered'),
    store: (context) => ({ ...context, mode: 'direct' }),
  },
  'one block in twenty is never written, and its cursors move': { store: skippingBlocks(20) },
  'a store that starts believes that the log has more than it has': {
    store: (context) => {
      const { logNext } = context;
      return { ...context, logNext: (topicId, partition) => logNext(topicId, partition) + 3 };
    },
  },
};

/** A coordinator that breaks a promise, and what the books call it. */
const MESSAGING_SABOTAGES: Readonly<Record<string, { readonly sabotage: Sabotage; readonly finds: RegExp }>> = {
  'acknowledgements that are answered and not written down': {
    sabotage: { journal: forgetting((part, record) => part === 'groups' && record.type === 'add') },
    finds: /^again: /,
  },
  'more is acknowledged than was handled': {
    sabotage: { journal: reachingTooFar },
    finds: /^lost to /,
  },
  'a key that nobody keeps in order': {
    sabotage: { plan: withMessaging({ pushOrder: 'key', pushAsks: 'none' }) },
    finds: /^overtaken: push/,
  },
  'moves that are not written down': {
    sabotage: { journal: forgetting((part) => part === 'moves' || part === 'transactions') },
    finds: /^twice: (timer|transaction)/,
  },
  'recalls that are not written down': {
    sabotage: { journal: forgetting((part, record) => part === 'timers' && record.over !== undefined) },
    finds: /^taken back: timer/,
  },
  'a clock that is ahead': {
    sabotage: { aheadMs: 1_500 },
    finds: /^early: /,
  },
};

function withMessaging(changes: Partial<MessagingPlan>): (plan: Plan) => Plan {
  return (plan) => (plan.messaging ? { ...plan, messaging: { ...plan.messaging, ...changes } } : plan);
}

type Entry = Readonly<Record<string, unknown>>;

/** Says that it has written what it has not. */
function forgetting(which: (part: string, record: Entry) => boolean): JournalSabotage {
  return (journal) => withAppend(journal, (part, record) => !which(part, record as Entry));
}

/** Every floor is a little further than it was said to be. */
function reachingTooFar(journal: OpenJournal): OpenJournal {
  return withAppend(journal, (part, record) => {
    const { type, queues = [] } = record as { readonly type?: string; readonly queues?: unknown[][] };
    if (part === 'groups' && type === 'add') for (const queue of queues) queue[2] = Number(queue[2]) + 2;
    return true;
  });
}

/** As it is, but for what the look at a record says. */
function withAppend(journal: OpenJournal, look: (part: string, record: unknown) => boolean): OpenJournal {
  return {
    append: (part, record) => {
      if (look(part, record)) journal.append(part, record);
    },
    sync: () => journal.sync(),
    replay: (parts) => journal.replay(parts),
    compactIfLong: () => {},
    close: () => journal.close(),
  };
}

function oneIn(times: number): (name: string) => boolean {
  let count = 0;
  return (name) => name.endsWith('.log') && ++count % times === 0;
}

function skippingBlocks(times: number): (context: StoreContext) => StoreContext {
  let count = 0;
  return (context) => {
    const { writer } = context;
    const append: LogWriter['append'] = (builder) => {
      if (++count % times !== 0) writer.append(builder);
    };
    return { ...context, writer: instead(writer, 'append', append) };
  };
}

const BREACHES: Readonly<Record<string, Breach>> = {
  'commits that stand in the topic of half messages, and that nobody carries out': {
    first: MESSAGING_SEEDS,
    finds: /it never came to pass .* has not handled/,
    sabotage: broken(CommitOps, 'take', () => () => {}),
  },
  'filters that let everything through': {
    first: 20_001,
    finds: /^unwanted: /,
    sabotage: both(
      broken(TagFilter, 'matches', () => () => true),
      broken(SqlProgram, 'matches', () => () => true),
    ),
  },
  'leases that end before their time': {
    first: 20_003,
    finds: /^leased: /,
    sabotage: broken(LeaseWindow, 'expired', (was: (nowMs: number, due: number[]) => void) => {
      return function (this: never, nowMs, due) {
        was.call(this, nowMs + 400, due);
      };
    }),
  },
  'priorities that nobody looks at': {
    first: 20_001,
    finds: /^priority: /,
    sabotage: broken(LeaseGroup, 'receive', (was: (request: object, seat: number) => unknown) => {
      return function (this: never, request, seat) {
        return was.call(this, { ...request, priority: false }, seat);
      };
    }),
  },
  'a partition that nobody keeps in order': {
    first: 20_001,
    finds: /^overtaken: push/,
    sabotage: { plan: withMessaging({ pushOrder: 'partition', pushAsks: 'none' }) },
  },
  'replays that are not written down': {
    first: 20_007,
    finds: /^twice: plain/,
    sabotage: { journal: forgetting((part) => part === 'moves') },
  },
  'seeks and resets that are not written down': {
    first: 20_003,
    finds: /^(again: |lost to )/,
    sabotage: { journal: forgetting((part, record) => part === 'groups' && record.type === 'place') },
  },
  'a reply that goes to the oldest request': {
    first: 30_001,
    finds: /^answered: /,
    sabotage: broken(Requests, 'replied', () => {
      return function (this: { readonly pending: Map<string, { resolve(reply: unknown): void }> }, reply: unknown) {
        [...this.pending.values()].at(0)?.resolve(reply);
      } as Method;
    }),
  },
  'a trace that says everything twice': {
    first: 30_001,
    finds: /^invented: /,
    sabotage: broken(Trace, 'add', (was: (record: object) => void) => {
      return function (this: never, record) {
        was.call(this, record);
        was.call(this, record);
      };
    }),
  },
  'retention that is a minute ahead': {
    first: 30_006,
    finds: /^expired: /,
    sabotage: broken(Retention, 'pass', (was: (nowMs: number, limits: unknown) => unknown) => {
      return function (this: never, nowMs, limits) {
        return was.call(this, nowMs + 60_000, limits);
      };
    }),
  },
  'a gap that is told for too much': {
    first: 30_011,
    finds: /^untrue: /,
    sabotage: broken(GroupReader, 'gap', (was: (gap: { to: number; reason: string }) => void) => {
      return function (this: never, gap) {
        was.call(this, gap.reason === 'expired' ? { ...gap, to: gap.to + 20 } : gap);
      };
    }),
  },
  'gaps that nobody is told of': {
    first: 30_009,
    finds: /^untold: /,
    sabotage: broken(GroupHolding, 'gap', () => () => undefined),
  },
  'more of a volatile topic is acknowledged than was handled': {
    first: 30_003,
    finds: /^lost to flash/,
    sabotage: { journal: reachingTooFar },
  },
  'receipts of a batch in the wrong order': {
    first: 30_005,
    finds: /^moved: /,
    sabotage: broken(RingProducer, 'sendBatch', (was: (bodies: unknown, extras: unknown) => Promise<unknown[]>) => {
      return async function (this: never, bodies, extras) {
        return [...(await was.call(this, bodies, extras))].reverse();
      };
    }),
  },
  'a pause that stops nothing': {
    first: 30_017,
    finds: /^paused: /,
    sabotage: broken(RingConsumer, 'pause', () => () => undefined),
  },
  'a pull that says to go on too far': {
    first: 30_005,
    finds: /lead to /,
    sabotage: broken(InProcessConnection, 'pull', (was: (request: unknown) => Promise<{ nextOffset: number }>) => {
      return async function (this: never, request) {
        const result = await was.call(this, request);
        return { ...result, nextOffset: result.nextOffset + 1 };
      };
    }),
  },
  'positions of a broadcasting group that nobody keeps': {
    first: 30_026,
    finds: /^shared: /,
    sabotage: broken(GroupOffsets, 'send', () => async () => undefined),
  },
  'acknowledgements over JSON that name the next place': {
    first: 30_005,
    finds: /^moved: /,
    sabotage: broken(JsonSession, 'answered', (was: (...all: number[]) => void) => {
      return function (this: never, request, status, partition, count, baseOffset) {
        was.call(this, request, status, partition, count, baseOffset + 1);
      };
    }),
  },
};

describe('found out:', () => {
  test.each(Object.keys(SABOTAGES))(
    '%s',
    async (name) => {
      const report = await firstGuilty(SABOTAGES[name]);
      expect(report, 'no seed found anything wrong').toBeDefined();
    },
    LIMIT_MS,
  );

  test.each(Object.keys(MESSAGING_SABOTAGES))(
    '%s',
    async (name) => {
      const { sabotage, finds } = MESSAGING_SABOTAGES[name];
      const report = await firstGuilty(sabotage, MESSAGING_SEEDS, finds);
      expect(report, 'no seed found anything like that').toBeDefined();
    },
    LIMIT_MS,
  );

  testBreaches(BREACHES);
});
