// A thread that writes keys into the index of a folder until it is terminated.
import { workerData } from 'node:worker_threads';
import { KeyIndexWriter } from '../../../dist/src/state/key-index.js';

const written = new Int32Array(workerData.written);
const writer = new KeyIndexWriter(workerData.folder, () => {}, Number.MAX_SAFE_INTEGER);
if (writer.broken || writer.rebuilds > 0) throw new Error('the index is not as it was left');
for (let position = writer.appliedPosition + 1; ; position++) {
  const entries = Array.from({ length: 256 }, (_, i) => {
    return { topicId: 1, partition: 0, offset: position * 256 + i, storedAt: position, epoch: 1, key: `k${i % 16}` };
  });
  writer.apply(entries, position);
  await writer.pending;
  if (writer.appliedPosition !== position) throw new Error('the index was begun anew');
  Atomics.add(written, 0, 1);
}
