// A process of its own for life.test.ts: it must end by itself with 0, and not before its work is done.
import { Worker } from 'node:worker_threads';
import { startBroker } from '../../dist/src/index.js';

const ROLES = new URL('engine-roles.mjs', import.meta.url);
const how = process.argv[2];

/** Plays a role and resolves with its last message once the thread has ended by itself. */
function thread(broker, role, more) {
  const worker = new Worker(ROLES, { workerData: { role, attachment: broker.attachment, topic: 't', ...more } });
  let last;
  worker.on('message', (message) => {
    last = message;
  });
  return new Promise((resolve, reject) => {
    worker.on('error', reject);
    worker.on('exit', () => resolve(last));
  });
}

const broker = await startBroker({ workers: 1 });
const connection = broker.connect();
let ok = true;
if (how === 'stopped') {
  // Everything at once, left open.
  const consumer = connection.consumer('t', { onMessage: () => {} });
  await consumer.ready();
  await connection.producer('t').send('x');
  await connection.directProducer('d');
} else if (how === 'idle') {
  // A thread whose connection is idle ends although nobody closed it.
  ok = (await thread(broker, 'leave')).type === 'done';
} else if (how === 'late') {
  // A thread does not end before its message is acknowledged.
  ok = (await thread(broker, 'late')).type === 'done';
} else {
  // A thread with a consumer goes on until it has what it waits for.
  const counting = thread(broker, 'events', { count: 10 });
  const producer = connection.producer('t');
  for (let i = 0; i < 10; i++) {
    await new Promise((resolve) => setTimeout(resolve, 40));
    await producer.send('x');
  }
  ok = (await counting).type === 'done';
}
await broker.stop();
console.log(ok ? how : 'failed');
