// `npm run bench -- [NAME...]`: measures by name and prints a table, or one JSON object a line.
import { Command } from 'commander';
import { durableBenches } from './macro/durable.ts';
import { filterBenches } from './macro/filter.ts';
import { inProcessBenches } from './macro/in-process.ts';
import { latencyBenches } from './macro/latency.ts';
import { messagingBenches } from './macro/messaging.ts';
import { pushBenches } from './macro/push.ts';
import { timerBenches } from './macro/timers.ts';
import { transactionBenches } from './macro/transaction.ts';
import { wsBenches } from './macro/ws.ts';
import { microBenches } from './micro/micro.ts';
import { type Bench, FULL, type Result, type Scale, TINY } from './support/bench.ts';
import { runBench } from './support/session.ts';
import { printTable } from './support/table.ts';

const ALL: readonly Bench[] = [
  ...inProcessBenches,
  ...wsBenches,
  ...durableBenches,
  ...latencyBenches,
  ...messagingBenches,
  ...filterBenches,
  ...pushBenches,
  ...timerBenches,
  ...transactionBenches,
  ...microBenches,
];

interface RunOptions {
  readonly json?: boolean;
  readonly tiny?: boolean;
  readonly runs?: string;
  readonly seconds?: string;
  readonly bodyBytes?: string;
}

const program = new Command('bench')
  .description(
    'Measures ringmq beside what programs use today. Every run is checked: nothing lost, doubled or changed.',
  )
  .argument('[names...]', 'benches or groups (in-process, ws, latency, micro); default: all but micro')
  .option('--json', 'one JSON object a line on standard output')
  .option('--tiny', 'a moment of each: shows that they work, measures nothing')
  .option('--runs <n>', 'runs of each; the median counts', '5')
  .option('--seconds <n>', 'seconds that each run sends for', '3')
  .option('--body-bytes <n>', 'bytes of a message, a multiple of 8', '64')
  .addHelpText('after', `\nBenches:\n${ALL.map((one) => `  ${one.name.padEnd(26)} ${one.what}`).join('\n')}\n`)
  .showHelpAfterError()
  .action(main);

await program.parseAsync();

async function main(names: string[], options: RunOptions): Promise<void> {
  const chosen = choose(names);
  const scale = scaleOf(options);
  const results: Result[] = [];
  for (const bench of chosen) {
    const result = await runBench(bench, scale, (text) => process.stderr.write(`  ${text}\n`));
    results.push(result);
    if (options.json) process.stdout.write(`${JSON.stringify(result)}\n`);
  }
  if (!options.json) printTable(results);
}

function choose(names: string[]): readonly Bench[] {
  if (names.length === 0) return ALL.filter((one) => !one.name.startsWith('micro-'));
  return names.flatMap((name) => {
    const found = ALL.filter((one) => one.name === name || one.name.startsWith(`${name}-`));
    if (found.length === 0)
      program.error(`no bench is called ${name}; known are ${ALL.map((one) => one.name).join(', ')}`);
    return found.some((one) => one.name === name) ? found.filter((one) => one.name === name) : found;
  });
}

function scaleOf(options: RunOptions): Scale {
  if (options.tiny) return TINY;
  const number = (name: string, text: string | undefined, least: number): number => {
    const value = Number(text);
    if (!(value >= least)) program.error(`--${name} ${text}: a number of at least ${least}`);
    return value;
  };
  const bodyBytes = number('body-bytes', options.bodyBytes, 8);
  if (bodyBytes % 8 !== 0) program.error(`--body-bytes ${bodyBytes}: a multiple of 8`);
  return {
    durationMs: number('seconds', options.seconds, 0.05) * 1000,
    runs: number('runs', options.runs, 1),
    bodyBytes: bodyBytes || FULL.bodyBytes,
  };
}
