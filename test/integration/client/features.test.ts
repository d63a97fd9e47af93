// Every feature in every client that is not a browser: in process, from an attached thread, over WebSocket. What a
// feature is stands in test/support/features; test/browser/features.test.ts runs the same in a browser.
import { once } from 'node:events';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { Worker } from 'node:worker_threads';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import * as ringmq from '../../../src/index.ts';
import { type Broker, type Connection, connect, startBroker } from '../../../src/index.ts';

interface FeatureTools {
  readonly ringmq: typeof ringmq;
  readonly open: (options: object) => Promise<Connection>;
  readonly id: string;
}
type Feature = (bus: Connection, tools: object) => Promise<void>;

const FOLDER = new URL('../../support/features/', import.meta.url);
const { NODE_FEATURES: FEATURES } = (await import(new URL('all.mjs', FOLDER).href)) as {
  NODE_FEATURES: Record<string, Feature>;
};
const { makeTools } = (await import(new URL('tools.mjs', FOLDER).href)) as { makeTools(made: FeatureTools): object };
const TITLES = Object.keys(FEATURES);

const data = fs.mkdtempSync(path.join(os.tmpdir(), 'ringmq-features-'));
let broker: Broker;

beforeAll(async () => {
  const quick = { transactionTimeoutMs: 300, transactionCheckMs: 300 };
  broker = await startBroker({ data, workers: 1, ...quick, listen: { port: 0, systemMetrics: false } });
});

afterAll(async () => {
  await broker.stop();
  fs.rmSync(data, { recursive: true });
});

const OPEN: Readonly<Record<string, (options: object) => Connection>> = {
  'in process': (options) => broker.connect(options),
  'over WebSocket': (options) => connect(broker.url as string, options),
};

describe.each(Object.keys(OPEN))('%s', (way) => {
  test.each(TITLES)('%s', async (title) => {
    const opened: Connection[] = [];
    const openOne = async (options: object): Promise<Connection> => {
      const connection = OPEN[way](options);
      connection.onError(() => {});
      opened.push(connection);
      await connection.ready();
      return connection;
    };
    const id = `${way.replaceAll(' ', '-')}-${TITLES.indexOf(title)}`;
    try {
      await FEATURES[title](await openOne({}), makeTools({ ringmq, open: openOne, id }));
    } finally {
      for (const connection of opened) await connection.close();
    }
  });
});

describe('from an attached thread', () => {
  let thread: Worker;

  beforeAll(() => {
    thread = new Worker(new URL('thread.mjs', FOLDER), { workerData: { attachment: broker.attachment } });
  });

  afterAll(() => thread.terminate());

  test.each(TITLES)('%s', async (title) => {
    thread.postMessage(title);
    const [failure] = (await once(thread, 'message')) as [string];
    expect(failure).toBe('');
  });
});
