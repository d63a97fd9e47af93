// `ringmq doctor`: what a person wants to know when something does not run, or not as fast as it should.
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import { createRequire } from 'node:module';
import { availableParallelism, cpus, freemem, totalmem } from 'node:os';
import { Command, Option } from 'commander';
import { EXIT, EXIT_HELP } from './exit.ts';
import { size } from './figures.ts';
import { type ClientOptions, connected, DEFAULT_DATA, withClientOptions } from './options.ts';

interface DoctorOptions extends ClientOptions {
  readonly data: string;
}

type Verdict = 'ok' | 'note' | 'bad';

/** One line of what was found. */
export interface Finding {
  readonly what: string;
  readonly verdict: Verdict;
  readonly text: string;
}

const MARKS: Readonly<Record<Verdict, string>> = { ok: 'ok  ', note: 'note', bad: 'BAD ' };
const NODE_MAJOR_MIN = 20;
const FILES_ENOUGH = 10_240;
const SHARED_ENOUGH = 64 * 1024 * 1024;

export function doctorCommand(done: (code: number) => void): Command {
  const command = new Command('doctor')
    .description('check this machine, its disk, and whether a broker answers')
    .addOption(new Option('--data <folder>', 'where a broker keeps its data').env('RINGMQ_DATA').default(DEFAULT_DATA));
  return withClientOptions(command)
    .addHelpText('after', `\n"BAD" lines make the exit code 1; "note" lines cost speed or reach.\n${EXIT_HELP}`)
    .action(async (options: DoctorOptions) => done(await doctor(options)));
}

async function doctor(options: DoctorOptions): Promise<number> {
  const { runtimeFacts } = await import('../frontend/transport/uws-binding.ts');
  const { diskFindings, logFindings, packageFindings } = await import('./doctor-disk.ts');
  const facts = runtimeFacts();
  const findings: Finding[] = [
    node(facts.node, facts.abi, facts.platform),
    { what: 'glibc', verdict: 'ok', text: facts.glibc ?? 'none (musl, or not Linux)' },
    transport(facts.uWebSockets),
    masking(),
    cores(),
    { what: 'memory', verdict: 'ok', text: `${size(freemem())} free of ${size(totalmem())}` },
    openFiles(),
    sharedMemory(),
    ...diskFindings(options.data),
    ...logFindings(options.data),
    ...packageFindings(),
    await broker(options),
  ];
  for (const one of findings) {
    process.stdout.write(
      options.json ? `${JSON.stringify(one)}\n` : `${MARKS[one.verdict]}  ${one.what.padEnd(14)} ${one.text}\n`,
    );
  }
  return findings.some((one) => one.verdict === 'bad') ? EXIT.failed : EXIT.ok;
}

function node(version: string, abi: string, platform: string): Finding {
  const good = Number(process.versions.node.split('.')[0]) >= NODE_MAJOR_MIN;
  const text = `${version} (ABI ${abi}) on ${platform}${good ? '' : `; ringmq needs ${NODE_MAJOR_MIN} or newer`}`;
  return { what: 'Node', verdict: good ? 'ok' : 'bad', text };
}

function transport(uWebSockets: string): Finding {
  const native = !uWebSockets.startsWith('not usable');
  const text = native
    ? `uWebSockets.js ${uWebSockets}`
    : `ws (JavaScript), a fifth of the speed; uWebSockets.js is ${uWebSockets}`;
  return { what: 'transport', verdict: native ? 'ok' : 'note', text };
}

function masking(): Finding {
  const what = 'bufferutil';
  try {
    createRequire(import.meta.url)('bufferutil');
    return { what, verdict: 'ok', text: 'present: clients mask natively' };
  } catch {
    return { what, verdict: 'note', text: 'missing: clients mask in JavaScript, about a third of the speed' };
  }
}

function cores(): Finding {
  const count = availableParallelism();
  const text = `${count} usable${cpus()[0] ? `, ${cpus()[0].model.trim()}` : ''}`;
  return { what: 'cores', verdict: count > 1 ? 'ok' : 'note', text: count > 1 ? text : `${text}; threads share it` };
}

function openFiles(): Finding {
  const what = 'open files';
  const limit = fileLimit();
  if (limit === undefined) return { what, verdict: 'note', text: 'the limit cannot be read here' };
  if (limit >= FILES_ENOUGH) return { what, verdict: 'ok', text: `${limit} (ulimit -n)` };
  return { what, verdict: 'note', text: `${limit} (ulimit -n): so many connections at most; raise it on servers` };
}

function fileLimit(): number | undefined {
  try {
    const row = fs.readFileSync('/proc/self/limits', 'utf8').match(/^Max open files\s+(\S+)/m);
    if (row) return row[1] === 'unlimited' ? Number.POSITIVE_INFINITY : Number(row[1]);
    return Number(execFileSync('sh', ['-c', 'ulimit -n'], { encoding: 'utf8' })) || undefined;
  } catch {
    return undefined;
  }
}

function sharedMemory(): Finding {
  const what = 'shared memory';
  try {
    const bytes = new SharedArrayBuffer(SHARED_ENOUGH).byteLength;
    return { what, verdict: 'ok', text: `${size(bytes)} in one piece, within the process (no /dev/shm is needed)` };
  } catch (error) {
    return { what, verdict: 'bad', text: `no ${size(SHARED_ENOUGH)} in one piece: ${String(error)}` };
  }
}

async function broker(options: ClientOptions): Promise<Finding> {
  const what = 'broker';
  try {
    const connection = await connected(options);
    const before = performance.now();
    const topics = await connection.topics();
    const ms = (performance.now() - before).toFixed(1);
    await connection.close();
    const text = `answers at ${options.url} in ${ms} ms, ${topics.length} topics`;
    const store = await storeAt(options.url);
    if (store !== 'full' && store !== 'failed') return { what, verdict: 'ok', text };
    return { what, verdict: 'bad', text: `${text}; its store is ${store}: it takes no new durable messages` };
  } catch (error) {
    return { what, verdict: 'note', text: error instanceof Error ? error.message : String(error) };
  }
}

/** State of a broker's store by its own account; empty if it does not say. */
async function storeAt(url: string): Promise<string> {
  try {
    const response = await fetch(new URL('/health', url.replace(/^ws/, 'http')));
    return ((await response.json()) as { store?: string }).store ?? '';
  } catch {
    return '';
  }
}
