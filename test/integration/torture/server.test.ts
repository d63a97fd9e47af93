// The server process of the torture: a start that hangs is ended, and known to have hung.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { Server } from '../../../torture/server.ts';

const START_MAX_MS = 1_000;
const folder = mkdtempSync(path.join(tmpdir(), 'ringmq-torture-'));

afterAll(() => rmSync(folder, { recursive: true, force: true }));

function started(text: string): Server {
  const program = path.join(folder, `${text.length}.mjs`);
  writeFileSync(program, text);
  return new Server({ folder, port: 1, crash: undefined, args: [], program, startMaxMs: START_MAX_MS });
}

test('a start that says no address in time is ended, and the last it said is kept', async () => {
  const server = started('console.error("one"); console.error("two"); setInterval(() => {}, 1_000);');
  expect(await server.ready()).toBeUndefined();
  expect(await server.ended).toBe('SIGKILL');
  expect(server.hung).toBe(true);
  expect(server.lastWords).toBe('one | two');
});

test('a start that ends by itself did not hang', async () => {
  const server = started('process.kill(process.pid, "SIGKILL");');
  expect(await server.ready()).toBeUndefined();
  expect(await server.ended).toBe('SIGKILL');
  expect(server.hung).toBe(false);
});

test('a server that is ready lives on', async () => {
  const server = started('console.log(JSON.stringify({ url: "ws://x" })); setInterval(() => {}, 1_000);');
  expect(await server.ready()).toBe('ws://x');
  await new Promise((resolve) => setTimeout(resolve, START_MAX_MS + 200));
  expect(server.alive).toBe(true);
  expect(await server.stop()).toBe('SIGTERM');
  expect(server.hung).toBe(false);
});
