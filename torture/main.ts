// `npm run torture -- [options]`: runs the real server under load, kills it again and again, at random moments and at
// named places in the code, starts it again and has everything checked. Says what it did; ends with 1 if a promise was
// broken.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { Command, Option } from 'commander';
import { freePort } from '../bench/support/free-port.ts';
import { CRASH_POINTS, type CrashPoint } from '../src/log/crash-point.ts';
import { Run, type RunOptions } from './run.ts';

interface Options {
  readonly kills: string;
  readonly seed?: string;
  readonly data?: string;
  readonly json?: boolean;
  readonly serve?: string[];
  readonly points?: CrashPoint[];
}

const program = new Command('torture')
  .description('Kills a broker under load and checks that it kept what it had acknowledged.')
  .option('--kills <n>', 'how often', '200')
  .option('--seed <n>', 'of the moments; the same seed makes the same plan (not the same run: time is real)')
  .option('--data <folder>', 'where; kept afterwards. Default: a temporary folder, removed if all is well')
  .option('--serve <args...>', 'more arguments for `ringmq serve`, like --serve=--disk-mode=buffered')
  .addOption(
    new Option('--points <names...>', 'end something at these places only (default: all)').choices(CRASH_POINTS),
  )
  .option('--json', 'print the report as JSON')
  .addHelpText('after', `\nPlaces in the code: ${CRASH_POINTS.join(', ')}\n`)
  .showHelpAfterError()
  .action(main);

await program.parseAsync();

async function main(options: Options): Promise<void> {
  const kills = Number(options.kills);
  if (!(Number.isInteger(kills) && kills >= 1)) program.error(`--kills ${options.kills}: a whole number from 1 on`);
  const seed = options.seed === undefined ? Math.floor(Math.random() * 2 ** 31) : Number(options.seed);
  if (!Number.isInteger(seed)) program.error(`--seed ${options.seed}: a whole number`);
  const folder = options.data ?? mkdtempSync(path.join(tmpdir(), 'ringmq-torture-'));
  const { points, serve = [] } = options;
  const run: RunOptions = { kills, seed, folder, port: await freePort(), serveArgs: serve, ...(points && { points }) };
  const report = await new Run(run, (text) => process.stderr.write(`${text}\n`)).run();
  process.stdout.write(options.json ? `${JSON.stringify(report)}\n` : `${report.text}\n`);
  if (!report.ok) {
    process.stderr.write(`the data are kept in ${folder}; again: --kills ${kills} --seed ${seed}\n`);
    process.exitCode = 1;
  } else if (options.data === undefined) rmSync(folder, { recursive: true, force: true });
}
