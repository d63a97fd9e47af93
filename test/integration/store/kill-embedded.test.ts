// kill -9 of a program with a broker inside, in the middle of transactions: its producers commit by themselves, and the
// coordinator has not read everything that was answered.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { expect, test } from 'vitest';
import { dataFolder, startConnected } from '../../support/engine.ts';
import { until } from '../../support/until.ts';

const ROOT = path.resolve(import.meta.dirname, '../../..');
const PROGRAM = path.join(ROOT, 'test/support/transactions-process.mjs');
const ROUNDS = 4;
const ANSWERS_MIN = 2_000;

/** Runs the program until it was told so many answers and some more milliseconds have passed; returns all of them. */
async function killed(data: string, prefix: string, moreMs: number): Promise<string[]> {
  const child = spawn(process.execPath, [PROGRAM, path.join(ROOT, 'dist'), data, prefix], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const answers: string[] = [];
  const lines = createInterface({ input: child.stdout });
  lines.on('line', (line) => void answers.push(line));
  await until(() => answers.length >= ANSWERS_MIN || child.exitCode !== null, 'it is at work', 60_000);
  await new Promise((resolve) => setTimeout(resolve, moreMs));
  child.kill('SIGKILL');
  await Promise.all([once(child, 'exit'), once(lines, 'close')]);
  return answers;
}

test('killed amid its own transactions: what was committed comes once, what was rolled back never', async () => {
  const data = dataFolder();
  const answers: string[] = [];
  for (let round = 0; round < ROUNDS; round++) answers.push(...(await killed(data, `r${round}`, 13 * round)));
  const { connection } = await startConnected({ data });
  const heard = new Map<string, number>();
  const consumer = connection.consumer('orders', {
    from: 'earliest',
    onMessage: (one) => void heard.set(one.text(), (heard.get(one.text()) ?? 0) + 1),
  });
  await consumer.ready();
  const committed = answers.filter((line) => line.startsWith('+')).map((line) => line.slice(2));
  const rolledBack = answers.filter((line) => line.startsWith('-')).map((line) => line.slice(2));
  await until(() => committed.every((body) => heard.has(body)), 'all that was committed comes', 30_000);
  expect(committed.length).toBeGreaterThan(ROUNDS * ANSWERS_MIN * 0.6);
  expect([...heard].filter(([, times]) => times !== 1)).toEqual([]);
  expect(rolledBack.filter((body) => heard.has(body))).toEqual([]);
}, 120_000);
