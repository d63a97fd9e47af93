// The browser's client, as bundled, in Node with its own WebSocket: the parts that differ from Node's client.
import { execFile } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';

const ENTRY = new URL('../../../dist/src/index.js', import.meta.url).href;
const BUNDLE = new URL('../../../dist/browser/ringmq.js', import.meta.url).href;

const SCRIPT = `
const { startBroker } = await import(${JSON.stringify(ENTRY)});
const { connect } = await import(${JSON.stringify(BUNDLE)});
const broker = await startBroker({ listen: { port: 0 } });
const connection = connect(broker.url);
await connection.ready();
const got = [];
let done;
const all = new Promise((resolve) => { done = resolve; });
const consumer = connection.consumer('t', { onMessage: (m) => { if (got.push(m.text()) === 1002) done(); } });
await consumer.ready();
const producer = connection.producer('t', { partition: 0 });
const receipt = await producer.send('first');
await producer.sendBatch(Array.from({ length: 1000 }, (_, i) => String(i)));
await producer.send('x'.repeat(200_000));
await all;
const closed = connect('ws://127.0.0.1:1', { reconnect: false });
const failure = await closed.ready().catch((error) => error.message);
await connection.close();
await broker.stop();
const order = got.slice(1, 1001).every((text, i) => text === String(i));
console.log(JSON.stringify({ receipt, first: got[0], order, last: got[1001].length, failure }));
process.exit(0);
`;

test('the bundle sends, receives and fails as Node’s client does', async () => {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'ringmq-browser-'));
  const script = path.join(folder, 'script.mjs');
  fs.writeFileSync(script, SCRIPT);
  const { stdout } = await promisify(execFile)(process.execPath, ['--experimental-websocket', '--no-warnings', script]);
  fs.rmSync(folder, { recursive: true });
  expect(JSON.parse(stdout)).toEqual({
    receipt: { topic: 't', partition: 0, offset: 0 },
    first: 'first',
    order: true,
    last: 200_000,
    failure: 'no broker at ws://127.0.0.1:1: start one with `npx ringmq serve`',
  });
});
