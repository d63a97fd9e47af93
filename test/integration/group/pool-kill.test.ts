// kill -9 beside a handler pool: of the broker's process, of the one that has the pool, and of one that has both. What
// was not acknowledged comes again, what was does not, and keys stay in their order.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { appendFileSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, expect, test } from 'vitest';
import { freePort } from '../../../bench/support/free-port.ts';
import { connect } from '../../../src/client/node.ts';
import { GroupChecker } from '../../../torture/group-checker.ts';
import { dataFolder } from '../../support/engine.ts';
import { ServerProcess } from '../../support/engine-server.ts';
import { until } from '../../support/until.ts';

const PROCESS = fileURLToPath(new URL('../../support/pool-process.mjs', import.meta.url));
const MESSAGES = 1_000;
const KEYS = 40;

const running = new Set<ChildProcess>();

afterEach(async () => {
  for (const child of running) await killed(child);
});

/** A process with a pool: see test/support/pool-process.mjs. */
async function poolProcess(...args: readonly string[]): Promise<ChildProcess> {
  const child = spawn(process.execPath, [PROCESS, ...args], { stdio: ['ignore', 'pipe', 'inherit'] });
  running.add(child);
  await once(child.stdout as NodeJS.ReadableStream, 'data');
  return child;
}

async function killed(child: ChildProcess): Promise<void> {
  running.delete(child);
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exit = once(child, 'exit');
  child.kill('SIGKILL');
  await exit;
}

async function ended(child: ChildProcess): Promise<void> {
  running.delete(child);
  const exit = once(child, 'exit');
  child.kill('SIGTERM');
  expect(await exit).toEqual([0, null]);
}

/** Everything that happened, in its order. */
class Book {
  readonly file = path.join(dataFolder(), 'book');

  constructor() {
    writeFileSync(this.file, '');
  }

  get lines(): readonly (readonly string[])[] {
    const whole = readFileSync(this.file, 'utf8').split('\n').slice(0, -1);
    return whole.map((line) => line.split(' '));
  }

  /** Ids of the lines of a kind, of one process or of all. */
  ids(what: string, pid?: number): Set<string> {
    const own = this.lines.filter((one) => one[0] === what && (pid === undefined || Number(one[2]) === pid));
    return new Set(own.map(([, id]) => id));
  }

  async until(count: number, what: 'end' | 'acked' | 'kept', text: string): Promise<void> {
    await until(() => this.ids(what).size >= count, text, 60_000);
  }

  /** Sends all messages, while brokers come and go. */
  async fill(url: string): Promise<void> {
    const bus = connect(url, { reconnect: { minMs: 20, maxMs: 200 }, requestTimeoutMs: 60_000 });
    bus.onError(() => {});
    const producer = bus.producer('t', { attemptsMax: Number.POSITIVE_INFINITY, timeoutMs: 60_000 });
    const sent = Array.from({ length: MESSAGES }, (_, i) =>
      producer
        .send(`${i}`, { key: `k${i % KEYS}`, properties: { book: this.file } })
        .then(() => appendFileSync(this.file, `kept ${i}\n`)),
    );
    await Promise.all(sent);
    await bus.close();
  }

  /** The judge's anomalies over all of it. */
  judged(): GroupChecker {
    const checker = new GroupChecker('g');
    for (let i = 0; i < MESSAGES; i++) checker.sending(`${i}`, `k${i % KEYS}`);
    for (const [what, id, , , place] of this.lines) {
      if (what === 'kept') checker.kept(id);
      if (what === 'start') checker.delivered(id, place);
      if (what === 'end') checker.handled(id);
      if (what === 'acked') checker.acked(id);
    }
    checker.finish();
    return checker;
  }

  expectSound(): void {
    const { anomalies, acks } = this.judged();
    expect(anomalies).toEqual([]);
    expect(this.ids('end').size).toBe(MESSAGES);
    expect(acks).toBeGreaterThan(MESSAGES / 2);
  }
}

test('the broker is killed while a remote pool is at work: all comes, what was acknowledged once', async () => {
  const book = new Book();
  const data = dataFolder();
  let server = await ServerProcess.start(['--data', data]);
  const child = await poolProcess(book.file, server.url);
  const filled = book.fill(server.url);
  for (const share of [0.25, 0.6]) {
    await book.until(MESSAGES * share, 'acked', 'the pool acknowledges');
    await server.kill();
    server = await ServerProcess.start(['--data', data, '--port', server.port]);
  }
  await filled;
  await book.until(MESSAGES, 'end', 'everything is handled');
  await ended(child);
  book.expectSound();
  expect(await server.stop()).toBe(0);
});

test('the process that has the pool is killed: another member gets what it had not acknowledged', async () => {
  const book = new Book();
  const server = await ServerProcess.start(['--data', dataFolder()]);
  const first = await poolProcess(book.file, server.url);
  await book.fill(server.url);
  await book.until(MESSAGES / 4, 'acked', 'the first one acknowledges');
  const second = await poolProcess(book.file, server.url);
  await until(() => book.ids('start', second.pid).size > 10, 'the second one has a share', 30_000);
  await killed(first);
  await book.until(MESSAGES, 'end', 'everything is handled');
  await ended(second);
  book.expectSound();
  // What it was at work on when it was killed, and what it had handled and could not acknowledge any more.
  const handled = book.ids('end', first.pid);
  const again = book.ids('end', second.pid);
  expect([...book.ids('start', first.pid)].filter((id) => !handled.has(id) && !again.has(id))).toEqual([]);
  expect([...book.ids('acked', first.pid)].filter((id) => again.has(id))).toEqual([]);
  expect(await server.stop()).toBe(0);
});

test('a program with broker and pool is killed: started again it goes on with the rest', async () => {
  const book = new Book();
  const data = dataFolder();
  const port = String(await freePort());
  let child = await poolProcess(book.file, data, port);
  const filled = book.fill(`ws://127.0.0.1:${port}`);
  for (const share of [0.25, 0.6]) {
    await book.until(MESSAGES * share, 'acked', 'the pool acknowledges');
    await killed(child);
    child = await poolProcess(book.file, data, port);
  }
  await filled;
  await book.until(MESSAGES, 'end', 'everything is handled');
  await ended(child);
  book.expectSound();
});
