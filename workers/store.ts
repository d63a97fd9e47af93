// Thread door: the store, which writes the log.
import { parentPort, threadId, workerData } from 'node:worker_threads';
import { SEAT_STORE } from '../native-layout/control.ts';
import { STORE_STATES } from '../native-layout/store.ts';
import { CODES } from '../src/base/codes.ts';
import { BlockBuilder } from '../src/log/block-builder.ts';
import { NodeDisk } from '../src/log/disk-node.ts';
import { isDiskFull, LogWriter } from '../src/log/log-writer.ts';
import { recoverLog } from '../src/log/recovery.ts';
import { queueKey, type RecoveredLog } from '../src/log/run.ts';
import { ArenaSet } from '../src/memory/arena.ts';
import { Doorbell } from '../src/memory/bell.ts';
import { attachRegions, storeRegions } from '../src/memory/regions.ts';
import { claimSeat, releaseSeat, seatGeneration } from '../src/memory/seats.ts';
import { setStoreState } from '../src/memory/store-state.ts';
import { isDiskError } from '../src/store/disk-error.ts';
import { storeReport } from '../src/store/reports.ts';
import { StoreAgent } from '../src/store/store-agent.ts';
import { IDLE_STRATEGIES, runBlocking, steadyClock } from '../src/thread/agent.ts';
import { Announcements } from '../src/thread/announcements.ts';
import type { StoreWorkerData } from '../src/thread/worker-data.ts';

const data = workerData as StoreWorkerData<RecoveredLog>;
const regions = storeRegions(attachRegions(data.attachment));
const seat = claimSeat(regions.control, SEAT_STORE, SEAT_STORE, 'store', threadId);
if (seat !== SEAT_STORE) throw new Error('the seat of the store is taken');
const arenas = new ArenaSet();
for (const arena of data.attachment.arenas) arenas.add(arena.id, arena.buffer);
const announcements = new Announcements(data.attachment.id, arenas);

const { mode, segmentBytes, generation } = data;
const disk = new NodeDisk(data.folder);
// What the first one was given is old by now: a successor looks for itself.
const isFirst = seatGeneration(regions.control, SEAT_STORE) === 1;
const found =
  (isFirst && data.recovered) || recoverLog(disk, { onDamage: 'stop', ringBytesMax: 0, writeIndexes: false });
const next = new Map(found.queues.map((queue) => [queueKey(queue.topicId, queue.partition), queue.nextOffset]));

const agent = new StoreAgent({
  regions,
  seat,
  arenas,
  writer: openWriter(),
  builder: new BlockBuilder(),
  mode,
  disk,
  generation,
  logNext: (topicId, partition) => next.get(queueKey(topicId, partition)) ?? 0,
  hear: () => announcements.poll(),
  wantArenas: () => announcements.say({ type: 'arenas-wanted' }),
  report: (event) => parentPort?.postMessage(storeReport(event)),
});
parentPort?.postMessage({ type: 'ready' });
runBlocking(agent, new Doorbell(regions.control, seat), IDLE_STRATEGIES.park, steadyClock());
agent.close();
releaseSeat(regions.control, seat);
announcements.close();

/** A disk that fails here fails for good: it tells of lost writes once, and the next try would find nothing wrong. */
function openWriter(): LogWriter {
  try {
    return new LogWriter(disk, { mode, segmentBytes, generation, clock: Date.now }, found);
  } catch (error) {
    if (isDiskError(error) && !isDiskFull(error)) {
      setStoreState(regions.store, STORE_STATES.failed, CODES['store-failed'].number);
    }
    throw error;
  }
}
