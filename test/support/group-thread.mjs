// A thread that is a member of a group: it says what it handles, and takes its time for it.
import { parentPort, workerData } from 'node:worker_threads';
import { attach } from '../../dist/src/index.js';

const { attachment, topic, group, member, workMs } = workerData;
const bus = attach(attachment);
const consumer = bus.consumer(topic, {
  group,
  member,
  from: 'earliest',
  commitMs: 50,
  concurrency: 4,
  onMessage: async (message) => {
    parentPort.postMessage({ type: 'begins', text: message.text() });
    await new Promise((resolve) => setTimeout(resolve, workMs));
    parentPort.postMessage({ type: 'done', text: message.text() });
  },
});
await consumer.ready();
parentPort.postMessage({ type: 'ready' });
