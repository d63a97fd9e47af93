// RINGMQ_SIM_SEEDS=n runs n seeds, a quarter of them with messaging (those have 10,000 more), a quarter with all of it
// (20,000 more), and a tenth besides with each half of the other features (30,000 and 40,000 more); RINGMQ_SIM_FIRST=n
// begins with seed n, RINGMQ_SIM_SEED=n replays one and prints all that it did.
import { expect, test } from 'vitest';
import { BROAD_SEEDS, MESSAGING_SEEDS, OTHER_SEEDS, type SimReport, WIDE_SEEDS } from './options.ts';
import { simulate } from './simulation.ts';

const SEEDS = Number(process.env.RINGMQ_SIM_SEEDS ?? 60);
const FIRST = Number(process.env.RINGMQ_SIM_FIRST ?? 1);
const SEED = process.env.RINGMQ_SIM_SEED;
const HALF = Math.ceil(SEEDS / 2);
/** Of each kind with messaging. */
const QUARTER = Math.ceil(SEEDS / 4);
const TENTH = Math.ceil(SEEDS / 10);
const MESSAGING_FIRST = MESSAGING_SEEDS - 1 + FIRST;
const WIDE_FIRST = WIDE_SEEDS - 1 + FIRST;
const BROAD_FIRST = BROAD_SEEDS - 1 + FIRST;
const OTHER_FIRST = OTHER_SEEDS - 1 + FIRST;
const LIMIT_MS = 600_000;
const LINES_SHOWN = 60;
const FOUND_SOMETHING = [
  54, 75, 128, 136, 188, 223, 281, 10_308, 20_006, 20_009, 20_061, 20_067, 20_103, 30_018, 30_067, 30_190, 30_197,
];

/** What a person needs who wants to know why. */
function explain({ seed, anomalies, trace }: SimReport): string {
  const lines = trace.slice(-LINES_SHOWN).join('\n');
  const replay = `replay it: RINGMQ_SIM_SEED=${seed} npx vitest run test/sim/simulation`;
  return `${anomalies.join('\n')}\n\nthe end of the trace:\n${lines}\n\n${replay}`;
}

/** Runs seeds, none of which may find anything. Returns how much happened. */
async function innocent(first: number, count: number) {
  const groups = { handed: 0, settled: 0, gaps: 0 };
  const sums = { ...groups, acknowledged: 0, stored: 0, delivered: 0, answered: 0, traced: 0, found: 0, read: 0 };
  const guilty: SimReport[] = [];
  for (let seed = first; seed < first + count; seed++) {
    const report = await simulate({ seed });
    await breathe();
    if (report.anomalies.length > 0) guilty.push(report);
    for (const key of Object.keys(sums) as (keyof typeof sums)[]) sums[key] += report[key] ?? 0;
  }
  const seeds = guilty.map((one) => one.seed).join(' ');
  expect(guilty.length, `seeds ${seeds}\n${guilty.slice(0, 3).map(explain).join('\n\n')}`).toBe(0);
  return sums;
}

/** Other things of this process may have their turn. */
function breathe(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

if (SEED !== undefined) {
  test(
    `seed ${SEED}`,
    async () => {
      const report = await simulate({ seed: Number(SEED), verbose: true });
      process.stdout.write(`${report.trace.join('\n')}\n`);
      expect(report.anomalies, explain(report)).toEqual([]);
    },
    LIMIT_MS,
  );
} else {
  test(
    `a broker keeps its promises in ${HALF} lives that seeds ${FIRST} and following make up`,
    async () => {
      const sums = await innocent(FIRST, HALF);
      // A simulation in which nothing happens finds nothing.
      expect(sums.acknowledged).toBeGreaterThan(HALF * 100);
      expect(sums.stored).toBeGreaterThan(HALF * 100);
      expect(sums.delivered).toBeGreaterThan(HALF * 300);
    },
    LIMIT_MS,
  );

  test(
    `groups, timers and transactions keep theirs in ${QUARTER} lives from seed ${MESSAGING_FIRST} on`,
    async () => {
      const sums = await innocent(MESSAGING_FIRST, QUARTER);
      expect(sums.handed).toBeGreaterThan(QUARTER * 50);
      expect(sums.settled).toBeGreaterThan(QUARTER * 30);
    },
    LIMIT_MS,
  );

  test(
    `groups that filter and are operated on keep theirs in ${QUARTER} lives from seed ${WIDE_FIRST} on`,
    async () => {
      const sums = await innocent(WIDE_FIRST, QUARTER);
      expect(sums.handed).toBeGreaterThan(QUARTER * 50);
      expect(sums.settled).toBeGreaterThan(QUARTER * 30);
    },
    LIMIT_MS,
  );

  test(
    `every other feature keeps its promises in ${TENTH} lives from seed ${BROAD_FIRST} on`,
    async () => {
      const sums = await innocent(BROAD_FIRST, TENTH);
      expect(sums.handed + sums.stored).toBeGreaterThan(TENTH * 30);
      expect(sums.answered).toBeGreaterThan(TENTH / 2);
      expect(sums.traced).toBeGreaterThan(TENTH * 5);
    },
    LIMIT_MS,
  );

  test(
    `what all of those lack keeps its promises in ${TENTH} lives from seed ${OTHER_FIRST} on`,
    async () => {
      const sums = await innocent(OTHER_FIRST, TENTH);
      expect(sums.handed).toBeGreaterThan(TENTH * 20);
      expect(sums.settled).toBeGreaterThan(TENTH * 10);
      expect(sums.found + sums.read).toBeGreaterThan(0);
    },
    LIMIT_MS,
  );

  test(
    'seeds that once found something find nothing',
    async () => {
      for (const seed of FOUND_SOMETHING) {
        const report = await simulate({ seed });
        await breathe();
        expect(report.anomalies, explain(report)).toEqual([]);
      }
    },
    LIMIT_MS,
  );

  test(
    'a seed replays its run exactly',
    async () => {
      for (const seed of [2, 17, 54, 96, 10_003, 10_017, 20_003, 30_003, 30_043, 40_004]) {
        const first = await simulate({ seed });
        await breathe();
        const second = await simulate({ seed });
        await breathe();
        expect(second.digest, `seed ${seed}`).toBe(first.digest);
        expect(second).toEqual(first);
      }
    },
    LIMIT_MS,
  );
}
