// Runs scenarios without a test runner: for replaying one schedule, and for mutation testing.
//
//   node <bundle of this file> [part of a name] [schedule]
import { explore, replay } from './explorer.ts';
import { DEEP, SCENARIOS } from './scenarios/all.ts';

const [part = '', schedule] = process.argv.slice(2);
const deep = process.env.RINGMQ_EXPLORE === 'deep';
const all = deep ? [...SCENARIOS, ...DEEP] : SCENARIOS;

for (const scenario of all.filter((one) => one.name.includes(part))) {
  if (schedule !== undefined) {
    console.log(replay(scenario, schedule).join('\n'));
    break;
  }
  const before = performance.now();
  try {
    const { states, schedules, steps } = explore(scenario, deep ? 14_000_000 : 2_000_000);
    const ms = Math.round(performance.now() - before);
    console.log(
      `ok   ${scenario.name}: ${schedules.toExponential(2)} schedules, ${states} states, ${steps} steps, ${ms} ms`,
    );
  } catch (error) {
    console.log(`FAIL ${(error as Error).message}`);
    process.exitCode = 1;
    if (process.env.RINGMQ_BAIL) break;
  }
}
