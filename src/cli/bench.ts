// `ringmq bench`: the benchmarks of a clone; they are not part of the published package.
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import { fileURLToPath } from 'node:url';
import { Command } from 'commander';
import { EXIT, say } from './exit.ts';

// Two folders up from src/cli in dist.
const ENTRY = fileURLToPath(new URL(`${'../..'}/bench/run.js`, import.meta.url));

export function benchCommand(done: (code: number) => void): Command {
  return new Command('bench')
    .description('run a benchmark (in a clone of the repository)')
    .argument('[args...]', 'name and options of the benchmark; none: lists them')
    .allowUnknownOption()
    .helpOption(false)
    .passThroughOptions()
    .action(async (args: readonly string[]) => done(await bench(args)));
}

function bench(args: readonly string[]): Promise<number> {
  if (!fs.existsSync(ENTRY)) {
    say('ringmq: the benchmarks are part of the repository, not of the package: clone it and run `npm run bench`');
    return Promise.resolve(EXIT.failed);
  }
  const child = spawn(process.execPath, [ENTRY, ...args], { stdio: 'inherit' });
  // The terminal sends Ctrl-C to both; the benchmark decides.
  process.on('SIGINT', () => {});
  return new Promise((resolve) => {
    child.on('error', (error) => {
      say(`ringmq: ${error.message}`);
      resolve(EXIT.failed);
    });
    child.on('exit', (code, signal) => resolve(code ?? (signal ? EXIT.interrupted : EXIT.failed)));
  });
}
