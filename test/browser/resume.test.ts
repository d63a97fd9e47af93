// Connections that are cut while messages keep coming: nothing is missed, nothing comes twice, and the page's statement
// about it is true.
import type { Browser, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import type { Producer } from '../../src/client/connection.ts';
import { connect } from '../../src/client/node.ts';
import type { WsConnection } from '../../src/client/ws-connection.ts';
import { type Broker, startBroker } from '../../src/server/broker.ts';
import { TcpProxy } from '../support/proxy.ts';
import { until } from '../support/until.ts';
import { clientPage, httpOf, launch, openPage } from './chromium.ts';

const CUTS = 5;
let broker: Broker;
let browser: Browser;
let node: WsConnection;
let proxy: TcpProxy;
const pages: Page[] = [];

/** What the page scripts of these tests keep. */
interface Received {
  readonly numbers: number[];
  readonly gaps: { readonly partition: number; readonly from: number; readonly to: number; readonly reason: string }[];
  readonly states: string[];
}

declare global {
  var received: Received;
}

beforeAll(async () => {
  broker = await startBroker({ workers: 1, listen: { port: 0, frontends: 1 } });
  node = connect(broker.url as string);
  await node.ready();
  proxy = await TcpProxy.start(Number(new URL(httpOf(broker.url)).port));
  browser = await launch();
});

afterEach(async () => {
  proxy.closedForAll = false;
  for (const page of pages.splice(0)) await page.context().close();
});

afterAll(async () => {
  await browser?.close();
  await proxy?.stop();
  await node?.close();
  await broker?.stop();
});

/** Numbers from 0 on, one message each, as fast as a person could not, until it is stopped. */
class Counting {
  sent = 0;
  private readonly producer: Producer;
  private readonly running: Promise<void>;
  private stopped = false;

  constructor(topic: string) {
    this.producer = node.producer(topic, { timeoutMs: 30_000 });
    this.running = this.run();
  }

  async stop(): Promise<number> {
    this.stopped = true;
    await this.running;
    await this.producer.close();
    return this.sent;
  }

  private async run(): Promise<void> {
    await this.producer.ready();
    while (!this.stopped) {
      for (let i = 0; i < 20; i++) {
        if (!this.producer.trySend(String(this.sent))) break;
        this.sent++;
      }
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
  }
}

/** A page script that reads a topic through the proxy with the browser client. */
async function reading(topic: string): Promise<Page> {
  const page = await clientPage(browser, `http://127.0.0.1:${proxy.port}`);
  pages.push(page);
  await page.evaluate(async (name) => {
    globalThis.received = { numbers: [], gaps: [], states: [] };
    const connection = ringmq.connect(location.origin, { reconnect: { minMs: 5, maxMs: 50 } });
    connection.onState(({ to }) => received.states.push(to));
    const consumer = connection.consumer(name, {
      onMessage: (message) => void received.numbers.push(Number(message.text())),
      onGap: ({ partition, from, to, reason }) => void received.gaps.push({ partition, from, to, reason }),
    });
    await consumer.ready();
  }, topic);
  return page;
}

function countOf(page: Page): Promise<number> {
  return page.evaluate(() => received.numbers.length);
}

/** Connections that the broker has seen end since this was called first. */
async function closedConnections(): Promise<number> {
  const text = await (await fetch(`${httpOf(broker.url)}/metrics`)).text();
  const sum = (name: string): number => {
    const lines = text.matchAll(new RegExp(`^${name}(?:\\{.*\\})? (\\d+)$`, 'gm'));
    return [...lines].reduce((total, [, value]) => total + Number(value), 0);
  };
  const closed = sum('ringmq_connections_opened_total') - sum('ringmq_connections');
  closedBefore ??= closed;
  return closed - closedBefore;
}

let closedBefore: number | undefined;

test('every number arrives exactly once and in order while the connection is cut again and again', async () => {
  await node.createTopic('cuts', { partitions: 1 });
  const page = await reading('cuts');
  const counting = new Counting('cuts');
  for (let cut = 1; cut <= CUTS; cut++) {
    const before = await countOf(page);
    await expect.poll(() => countOf(page), { timeout: 15_000 }).toBeGreaterThan(before + 50);
    proxy.cut();
    const reconnected = (): Promise<number> =>
      page.evaluate(() => received.states.filter((state) => state === 'connected').length);
    await expect.poll(reconnected, { timeout: 15_000 }).toBeGreaterThan(cut);
  }
  const sent = await counting.stop();
  await expect.poll(() => countOf(page), { timeout: 15_000 }).toBeGreaterThanOrEqual(sent);
  const { numbers, gaps, states } = await page.evaluate(() => received);
  expect(gaps).toEqual([]);
  expect(numbers).toEqual(Array.from({ length: sent }, (_, n) => n));
  expect(states.filter((state) => state === 'reconnecting').length).toBeGreaterThanOrEqual(CUTS);
});

test('who is away too long on a topic that drops the oldest hears exactly what was lost', async () => {
  await node.createTopic('small', { partitions: 1, overflow: 'drop-oldest', ringBytes: 16 * 1024 });
  const page = await reading('small');
  const producer = node.producer('small');
  await producer.sendBatch(['0', '1', '2']);
  await expect.poll(() => countOf(page)).toBe(3);
  proxy.closedForAll = true;
  proxy.cut();
  await page.waitForFunction(() => received.states.includes('reconnecting'));
  // More than the ring holds, in batches that it can let go of one by one.
  for (let n = 3; n < 2_003; n++) await producer.send(String(n));
  proxy.closedForAll = false;
  await page.waitForFunction(() => received.numbers.at(-1) === 2_002, undefined, { timeout: 15_000 });
  const { numbers, gaps } = await page.evaluate(() => received);
  expect(gaps).toEqual([{ partition: 0, from: 3, to: numbers[3], reason: 'expired' }]);
  expect(numbers[3]).toBeGreaterThan(3);
  const rest = Array.from({ length: 2_003 - numbers[3] }, (_, n) => numbers[3] + n);
  expect(numbers).toEqual([0, 1, 2, ...rest]);
});

test('the button really cuts, and the page says truly how many messages it caught up', async () => {
  await node.createTopic('cord', { partitions: 4 });
  const { page, complaints } = await openPage(browser, `${httpOf(broker.url)}/#cord`);
  pages.push(page);
  const textOf = (selector: string): Promise<string | null> => page.locator(selector).textContent();
  await expect.poll(() => textOf('#feed-status'), { timeout: 15_000 }).toMatch(/^0 messages/);
  const producer = node.producer('cord');
  await producer.sendBatch(Array.from({ length: 100 }, (_, n) => `before ${n}`));
  await expect.poll(() => textOf('#feed-status'), { timeout: 15_000 }).toMatch(/^100 messages/);

  expect(await closedConnections()).toBe(0);
  for (const [missed, total] of [
    [512, 612],
    [64, 676],
  ]) {
    await page.locator('#cut-cord').click();
    await expect.poll(() => textOf('#connection-state')).toMatch(/^reconnecting( in \d s)?$/);
    expect(await textOf('#connection-reason')).toContain('the cord was cut in this page');
    await producer.sendBatch(Array.from({ length: missed }, (_, n) => `meanwhile ${n}`));
    expect(await textOf('#feed-status')).not.toContain(String(total));
    await page.getByRole('button', { name: 'Mend it now' }).click();
    await expect.poll(() => textOf('#resume-result'), { timeout: 15_000 }).toMatch(/^resumed after/);
    expect(await textOf('#resume-result')).toMatch(/^resumed after [\d.]+ m?s: \d+ messages caught up, 0 lost$/);
    expect(await page.locator('#resume-result').getAttribute('title')).toContain(`cord: ${missed} caught up, 0 lost`);
    await expect.poll(() => textOf('#feed-status')).toContain(`${total} messages`);
  }
  // The broker saw both cuts.
  await expect.poll(closedConnections).toBe(2);
  expect(complaints).toEqual([]);
});

test('the cord mends itself, also when the connection is really lost meanwhile', async () => {
  await node.createTopic('mends', { partitions: 1 });
  const { page } = await openPage(browser, `http://127.0.0.1:${proxy.port}/#mends`);
  pages.push(page);
  await page.locator('#connection-state[data-state=connected]').waitFor();
  await expect.poll(() => page.locator('#feed-status').textContent(), { timeout: 15_000 }).toMatch(/^0 messages/);
  const counting = new Counting('mends');
  await until(() => counting.sent > 100, 'messages are sent');
  await page.locator('#cut-cord').click();
  await page.locator('#connection-state[data-state=reconnecting]').waitFor();
  proxy.cut();
  await page.locator('#connection-state[data-state=connected]').waitFor({ timeout: 15_000 });
  proxy.cut();
  const sent = await counting.stop();
  await expect
    .poll(() => page.locator('#resume-result').textContent(), { timeout: 20_000 })
    .toMatch(/^resumed after .*: [\d,]+ messages? caught up, 0 lost$/);
  await expect
    .poll(() => page.locator('#feed-status').textContent(), { timeout: 15_000 })
    .toContain(`${sent.toLocaleString('en')} messages`);
});
