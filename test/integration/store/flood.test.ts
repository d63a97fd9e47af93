// kill -9 of a program whose store is behind all the time: it dies with a block on its way to the disk and another one
// that was filled meanwhile.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { expect, test } from 'vitest';
import type { Message } from '../../../src/index.ts';
import { dataFolder, startConnected } from '../../support/engine.ts';
import { until } from '../../support/until.ts';

const ROOT = path.resolve(import.meta.dirname, '../../..');
const PROGRAM = path.join(ROOT, 'test/support/flood-process.mjs');
const TOPICS = 48;
const ROUNDS = 3;
const LINES_MIN = 3 * TOPICS;

/** Runs the program until it was told so much and some more milliseconds have passed. Acknowledged, by topic. */
async function killed(data: string, acked: Map<number, number>, moreMs: number): Promise<void> {
  const child = spawn(process.execPath, [PROGRAM, path.join(ROOT, 'dist'), data, `${TOPICS}`], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let heard = 0;
  const lines = createInterface({ input: child.stdout });
  lines.on('line', (line) => {
    const [topic, count] = line.split(' ').map(Number);
    acked.set(topic, count);
    heard++;
  });
  await until(() => heard >= LINES_MIN || child.exitCode !== null, 'it is at work', 60_000);
  await new Promise((resolve) => setTimeout(resolve, moreMs));
  child.kill('SIGKILL');
  await Promise.all([once(child, 'exit'), once(lines, 'close')]);
}

test('killed amid a flood: what was acknowledged is there, in order and once', async () => {
  const data = dataFolder();
  const acked = new Map<number, number>();
  for (let round = 0; round < ROUNDS; round++) await killed(data, acked, 17 * round);
  expect(acked.size).toBe(TOPICS);
  const { connection } = await startConnected({ data });
  const next = new Map<string, number>();
  const wrong: string[] = [];
  const onMessage = (message: Message): void => {
    const body = message.text();
    const expected = next.get(message.topic) ?? 0;
    if (message.offset !== expected || !body.startsWith(`${expected} `)) {
      wrong.push(`${message.topic}@${message.offset}, after ${expected}: ${body.slice(0, 20)}`);
    }
    next.set(message.topic, message.offset + 1);
  };
  for (let n = 0; n < TOPICS; n++) await connection.consumer(`flood-${n}`, { from: 'earliest', onMessage }).ready();
  const isThere = ([n, count]: [number, number]): boolean => (next.get(`flood-${n}`) ?? 0) >= count;
  await until(() => wrong.length > 0 || [...acked].every(isThere), 'all that was acknowledged comes', 60_000);
  expect(wrong.slice(0, 5)).toEqual([]);
}, 180_000);
