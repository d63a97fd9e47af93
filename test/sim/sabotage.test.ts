// Every sabotage breaks one promise on purpose: a simulation that does not find it out is worth nothing.
import { describe, expect, test } from 'vitest';
import type { LogWriter } from '../../src/log/log-writer.ts';
import type { StoreContext } from '../../src/store/store-agent.ts';
import type { Plan } from './plan.ts';
import { type Sabotage, type SimReport, simulate } from './simulation.ts';

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

async function firstGuilty(sabotage: Sabotage): Promise<SimReport | undefined> {
  for (let seed = 1; seed <= WITHIN_SEEDS; seed++) {
    const report = await simulate({ seed, sabotage });
    await new Promise((resolve) => setImmediate(resolve));
    if (report.anomalies.length > 0) return report;
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
});
