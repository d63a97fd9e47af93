// Every feature in a browser: the same as test/integration/client/features.test.ts has in the other clients.
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Broker, startBroker } from '../../src/server/broker.ts';
import { untilAnswer } from '../support/until.ts';
import { clientPage, httpOf, launch } from './chromium.ts';

const FOLDER = new URL('../support/features/', import.meta.url);
const { FEATURES } = (await import(new URL('all.mjs', FOLDER).href)) as { FEATURES: Record<string, unknown> };
const TITLES = Object.keys(FEATURES);
/** They import nothing but one another. */
const MODULES = fs.readdirSync(FOLDER).filter((name) => !['all.mjs', 'pool.mjs', 'thread.mjs'].includes(name));

const data = fs.mkdtempSync(path.join(os.tmpdir(), 'ringmq-features-'));
let broker: Broker;
let browser: Browser;
let page: Page;

beforeAll(async () => {
  const quick = { transactionTimeoutMs: 300, transactionCheckMs: 300 };
  broker = await startBroker({ data, workers: 1, ...quick, listen: { port: 0, frontends: 1, systemMetrics: false } });
  browser = await launch();
  page = await clientPage(browser, httpOf(broker.url));
  for (const name of MODULES) await page.addScriptTag({ type: 'module', content: scriptOf(name) });
  await page.waitForFunction((count) => (globalThis as unknown as Shared).modules?.length === count, MODULES.length);
});

/** A module of the features whose export is in `modules`. */
function scriptOf(name: string): string {
  const text = fs.readFileSync(new URL(name, FOLDER), 'utf8');
  const [, exported] = /^export (?:const|function) (\w+)/m.exec(text) as RegExpExecArray;
  return `${text}\nglobalThis.modules = [...(globalThis.modules ?? []), ${exported}];`;
}

afterAll(async () => {
  await browser?.close();
  await broker?.stop();
  fs.rmSync(data, { recursive: true });
});

type Feature = (bus: unknown, tools: unknown) => Promise<void>;
type MakeTools = (made: object) => unknown;

/** What the page has: sets of features, and what makes their tools. */
interface Shared {
  readonly modules?: readonly (Record<string, Feature> | MakeTools)[];
}

/** Names are new where a test is tried again. */
let runs = 0;

test.each(TITLES)('%s', async (title) => {
  const failure = await page.evaluate(
    async ([name, id]) => {
      const { modules = [] } = globalThis as unknown as Shared;
      const makeTools = modules.find((one) => typeof one === 'function') as MakeTools;
      const features: Record<string, Feature> = Object.assign({}, ...modules.filter((one) => one !== makeTools));
      const opened: { close(): Promise<void> }[] = [];
      const open = async (options: object): Promise<unknown> => {
        const connection = ringmq.connect(location.origin, options);
        connection.onError(() => {});
        opened.push(connection);
        await connection.ready();
        return connection;
      };
      try {
        await features[name](await open({}), makeTools({ ringmq, open, id }));
        return '';
      } catch (error) {
        return (error as Error).stack ?? String(error);
      } finally {
        for (const connection of opened) await connection.close();
      }
    },
    [title, `browser-${++runs}`],
  );
  expect(failure).toBe('');
});

test('a page that goes away in the middle of its messages leaves them to others', async () => {
  const bus = broker.connect();
  await bus.createTopic('left', { partitions: 2 });
  await bus.producer('left').sendBatch(Array.from({ length: 200 }, (_, i) => `${i}`));
  const leaving = await clientPage(browser, httpOf(broker.url));
  await leaving.evaluate(() => {
    const consumer = ringmq.connect(location.origin).consumer('left', {
      group: 'leavers',
      from: 'earliest',
      commitMs: 20,
      concurrency: 4,
      onMessage: () => new Promise((resolve) => setTimeout(resolve, 10)),
    });
    return consumer.ready().then(() => {});
  });
  const described = () => bus.describeGroup('leavers');
  const lagOf = ({ queues }: Awaited<ReturnType<typeof described>>) => queues.reduce((sum, one) => sum + one.lag, 0);
  await untilAnswer(described, (one) => lagOf(one) < 180, 'the page is at work');
  await leaving.context().close();
  const after = await untilAnswer(described, ({ members }) => members.length === 0, 'it is known to be gone');
  const left = lagOf(after);
  const handled: string[] = [];
  const consumer = bus.consumer('left', {
    group: 'leavers',
    commitMs: 20,
    onMessage: (message) => void handled.push(message.text()),
  });
  await untilAnswer(described, (one) => lagOf(one) === 0, 'the rest is acknowledged');
  expect(left).toBeGreaterThan(0);
  expect([handled.length, new Set(handled).size], 'no less and no more').toEqual([left, left]);
  await consumer.close();
  await bus.close();
});
