// Commits topics to the state in a folder without end, as a thread that can be terminated: `count` (shared) says how
// many were committed.
import { parentPort, workerData } from 'node:worker_threads';

const { openMetaStore } = await import(new URL('../../dist/src/state/meta-store.js', import.meta.url).href);
const store = openMetaStore(workerData.folder);
const settings = { overflow: 'block', ringBytes: 1, direct: false, durable: true, retentionMs: 0, retentionBytes: 0 };
parentPort.postMessage('runs');
for (;;) {
  const topicId = store.nextTopicId;
  store.commit({ topics: [{ topic: `t${topicId}`, topicId, ...settings, partitions: [] }], nextTopicId: topicId + 1 });
  Atomics.store(workerData.count, 0, topicId);
}
