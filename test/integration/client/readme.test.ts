// The programs of the README work as printed: their text is taken from the page and run.
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { afterAll, expect, test } from 'vitest';

const ROOT = fileURLToPath(new URL('../../..', import.meta.url));
const DOOR = pathToFileURL(path.join(ROOT, 'dist/src/index.js')).href;
const README = fs.readFileSync(path.join(ROOT, 'README.md'), 'utf8');
const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'ringmq-readme-'));

afterAll(() => fs.rmSync(folder, { recursive: true }));

/** The code block that contains a text. */
function program(text: string): string {
  const blocks = [...README.matchAll(/^```(?:ts|js)\n(.*?)^```$/gms)].map(([, code]) => code);
  const found = blocks.filter((code) => code.includes(text));
  expect([text, found.length]).toEqual([text, 1]);
  return found[0];
}

/** Runs a module in an empty folder; what it printed. */
async function run(name: string, code: string): Promise<readonly string[]> {
  const cwd = path.join(folder, name);
  fs.mkdirSync(cwd);
  const text = code.replaceAll("from 'ringmq'", `from ${JSON.stringify(DOOR)}`);
  fs.writeFileSync(path.join(cwd, 'program.mjs'), text);
  const child = spawn(process.execPath, ['program.mjs'], { cwd, stdio: ['ignore', 'pipe', 'pipe'] });
  let printed = '';
  let complaints = '';
  child.stdout.on('data', (chunk) => {
    printed += chunk;
  });
  child.stderr.on('data', (chunk) => {
    complaints += chunk;
  });
  const exitCode = await new Promise<number | null>((resolve) => child.on('close', resolve));
  expect([exitCode, complaints]).toEqual([0, '']);
  return printed.trim().split('\n');
}

test('the first program sends and reads', async () => {
  expect(await run('first', program('orders.ready()'))).toEqual(['0 one coffee']);
}, 30_000);

test('the program of the groups retries, gives up and delivers later', async () => {
  const printed = await run('groups', program("bus.setGroup('billing'"));
  expect(printed).toEqual([
    'bill one coffee for table 7, attempt 2',
    'bill one cake for table 9, attempt 1',
    'lag 0, dead letters 1',
  ]);
}, 60_000);

test('the worker with leases settles what it got', async () => {
  const before = `
    import { startBroker } from 'ringmq';
    const broker = await startBroker();
    const bus = broker.connect();
    const handle = async (job) => {
      console.log(job.text());
      return job.text() === 'good';
    };
    await bus.createTopic('jobs');
    setTimeout(async () => bus.producer('jobs').sendBatch(['good', 'bad', 'good']), 500);`;
  const after = `
    await broker.stop();`;
  expect(await run('leases', before + program("bus.simpleConsumer('jobs'") + after)).toEqual(['good', 'bad', 'good']);
}, 30_000);
