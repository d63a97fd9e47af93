// Every sabotage breaks one promise on purpose: a simulation that does not find it out is worth nothing.
import { describe, expect, test } from 'vitest';
import type { OpenJournal } from '../../src/coordinator/journal.ts';
import type { LogWriter } from '../../src/log/log-writer.ts';
import type { StoreContext } from '../../src/store/store-agent.ts';
import type { JournalSabotage } from './coordinator-thread.ts';
import { MESSAGING_SEEDS, type Sabotage, type SimReport } from './options.ts';
import type { MessagingPlan, Plan } from './plan.ts';
import { simulate } from './simulation.ts';

const WITHIN_SEEDS = 60;
const LIMIT_MS = 120_000;

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

async function firstGuilty(sabotage: Sabotage, first = 1, finds = /^/): Promise<SimReport | undefined> {
  for (let seed = first; seed < first + WITHIN_SEEDS; seed++) {
    const report = await simulate({ seed, sabotage });
    await new Promise((resolve) => setImmediate(resolve));
    if (report.anomalies.some((one) => finds.test(one))) return report;
  }
  return undefined;
}

describe('found out:', () => {
  test.each(Object.keys(SABOTAGES))(
    '%s',
    async (name) => {
      const report = await firstGuilty(SABOTAGES[name]);
      expect(report, `${WITHIN_SEEDS} seeds found nothing wrong`).toBeDefined();
    },
    LIMIT_MS,
  );

  test.each(Object.keys(MESSAGING_SABOTAGES))(
    '%s',
    async (name) => {
      const { sabotage, finds } = MESSAGING_SABOTAGES[name];
      const report = await firstGuilty(sabotage, MESSAGING_SEEDS, finds);
      expect(report, `${WITHIN_SEEDS} seeds found nothing like that`).toBeDefined();
    },
    LIMIT_MS,
  );
});
