// The snippets of the page work as printed: their text is taken from the page and run.
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { Browser, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { type Broker, startBroker } from '../../src/server/broker.ts';
import { until } from '../support/until.ts';
import { httpOf, launch, openPage } from './chromium.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
let broker: Broker;
let browser: Browser;
let page: Page;
const children: ChildProcess[] = [];

beforeAll(async () => {
  broker = await startBroker({ workers: 1, listen: { port: 0, frontends: 1 } });
  browser = await launch();
  page = (await openPage(browser, httpOf(broker.url))).page;
  await page.locator('#connection-state[data-state=connected]').waitFor();
});

afterEach(() => {
  for (const child of children.splice(0)) child.kill('SIGKILL');
});

afterAll(async () => {
  await browser?.close();
  await broker?.stop();
});

/** Text of a snippet, for a topic of its own. */
async function snippet(tab: string, topic: string): Promise<string> {
  await page.locator('[name=topic]').fill(topic);
  await page.locator('[name=times]').fill('1');
  await page.locator('#publish-send').click();
  await expect.poll(() => page.locator('#feed-topic').textContent()).toBe(topic);
  await page.getByRole('tab', { name: tab }).click();
  return (await page.locator('#snippet-code').textContent()) ?? '';
}

/** Runs a module in an empty page of the broker and gathers what it logs. */
async function runInPage(text: string): Promise<readonly string[]> {
  const lines: string[] = [];
  const opened = await openPage(browser, `${httpOf(broker.url)}/health`);
  opened.page.on('console', (message) => lines.push(message.text()));
  await opened.page.addScriptTag({ type: 'module', content: text });
  return lines;
}

/** Runs a program and gathers what it prints. */
function runProgram(command: string, args: readonly string[]): { text: string } {
  const child = spawn(command, args, { cwd: ROOT, stdio: ['ignore', 'pipe', 'pipe'] });
  children.push(child);
  const printed = { text: '' };
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk: Buffer) => {
      printed.text += chunk;
    });
  }
  return printed;
}

test('bare WebSocket: ten lines subscribe, publish and receive', async () => {
  const lines = await runInPage(await snippet('bare WebSocket', 'snippet.websocket'));
  await expect.poll(() => lines.map((line) => line.split(' ')[0]), { timeout: 15_000 }).toContain('message');
  expect(lines.find((line) => line.startsWith('subscribed'))).toBeDefined();
  expect(lines.find((line) => line.startsWith('ack'))).toBeDefined();
  expect(lines.find((line) => line.startsWith('message'))).toMatch(/^message \d+ \{hello: world\}$/);
});

test('browser client: the last messages of a topic', async () => {
  const lines = await runInPage(await snippet('browser client', 'snippet.browser'));
  const url = `${httpOf(broker.url)}/api/topics/snippet.browser/messages`;
  await fetch(url, { method: 'POST', body: '{"later": true}' });
  await expect.poll(() => lines.join('\n'), { timeout: 15_000 }).toMatch(/^\d \d+ \{"later": true\}$/m);
});

test('Node client: publishes and receives', async () => {
  const printed = runProgram(process.execPath, [
    '--input-type=module',
    '-e',
    await snippet('Node client', 'snippet.node'),
  ]);
  await until(() => printed.text.includes('hello from Node'), 'the message comes', 20_000);
  await until(() => /accepted at \d+ \d+/.test(printed.text), 'the receipt comes', 20_000);
});

test('curl: bytes, JSON and the list of topics', async () => {
  const text = await snippet('curl', 'snippet.curl');
  const { stdout } = await promisify(execFile)('sh', [
    '-euc',
    text.replaceAll('curl ', 'curl -s --show-error --fail '),
  ]);
  expect(stdout).toMatch(/"acks":\[\{"partition":\d+,"offset":\d+\}\]/);
  expect(stdout).toContain('"topic":"snippet.curl"');
  await expect
    .poll(() => page.locator('#feed-list .body').allTextContents())
    .toEqual(expect.arrayContaining(['hello from curl', '{"total":9.5}']));
});

test('command line: what is published in one terminal is printed in the other', async () => {
  const text = await snippet('command line', 'snippet.cli');
  const lines = text.split('\n').filter((line) => line.includes('npx ringmq'));
  const [sub, ...pubs] = lines.map((line) =>
    line.replaceAll('npx ringmq', `node ${path.join(ROOT, 'bin/ringmq.mjs')}`),
  );
  const printed = runProgram('sh', ['-c', `exec ${sub}`]);
  await until(() => printed.text.includes('subscribed to snippet.cli'), 'the subscription stands', 30_000);
  for (const pub of pubs) await promisify(execFile)('sh', ['-euc', pub]);
  await until(() => printed.text.includes('hello from the command line\n'), 'the message is printed', 20_000);
  await until(() => /^1000$/m.test(printed.text), 'the lines are printed', 20_000);
});
