import { expect, test } from 'vitest';
import { simulate } from './simulation.ts';

const SEEDS = Number(process.env.RINGMQ_SIM_SEEDS ?? 1);
const SEED = process.env.RINGMQ_SIM_SEED;

test('x', async () => {
  const first = Number(SEED ?? process.env.RINGMQ_SIM_FIRST ?? 1);
  for (let seed = first; seed < first + (SEED === undefined ? SEEDS : 1); seed++) {
    const at = process.hrtime.bigint();
    const report = await simulate({ seed, verbose: SEED !== undefined });
    const ms = Number(process.hrtime.bigint() - at) / 1e6;
    const { trace, anomalies, ...rest } = report;
    console.log(JSON.stringify({ ...rest, ms, anomalies: anomalies.slice(0, 3) }));
    if (SEED !== undefined) (await import('node:fs')).writeFileSync('/tmp/trace.txt', trace.join('\n'));
  }
}, 600_000);
