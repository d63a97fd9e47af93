// Thread door: the log reader, which answers what is in the log and removes what is too old.
import { parentPort, threadId, workerData } from 'node:worker_threads';
import { SEAT_LOG_READER } from '../native-layout/control.ts';
import { STORE_WRITTEN_LOW } from '../native-layout/store.ts';
import { NodeDisk } from '../src/log/disk-node.ts';
import type { RecoveredLog } from '../src/log/run.ts';
import { Doorbell } from '../src/memory/bell.ts';
import { attachRegions, storeRegions } from '../src/memory/regions.ts';
import { claimSeat, releaseSeat, seatGeneration } from '../src/memory/seats.ts';
import { storeNumber } from '../src/memory/store-state.ts';
import { extentOf, keyDatabase, openLogReader } from '../src/store/log-reader.ts';
import { logReaderReport } from '../src/store/reports.ts';
import { IDLE_STRATEGIES, runYielding, steadyClock } from '../src/thread/agent.ts';
import type { LogReaderWorkerData } from '../src/thread/worker-data.ts';

const data = workerData as LogReaderWorkerData<RecoveredLog>;
const regions = storeRegions(attachRegions(data.attachment));
const seat = claimSeat(regions.control, SEAT_LOG_READER, SEAT_LOG_READER, 'reader', threadId);
if (seat !== SEAT_LOG_READER) throw new Error('the seat of the log reader is taken');

const disk = new NodeDisk(data.folder);
// What the first one was given is old by now: a successor looks for itself.
const isFirst = seatGeneration(regions.control, SEAT_LOG_READER) === 1;
const written = Math.max(data.recovered?.end ?? 0, storeNumber(regions.store, STORE_WRITTEN_LOW));

const agent = openLogReader({
  regions,
  seat,
  disk,
  openKeys: keyDatabase(data.keysFolder, new NodeDisk(data.keysFolder)),
  extent: (isFirst && data.recovered) || extentOf(disk, written),
  mode: data.mode ?? 'buffered',
  segmentBytes: data.segmentBytes,
  retentionMs: data.retentionMs,
  retentionBytes: data.retentionBytes,
  clock: steadyClock(),
  report: (event) => parentPort?.postMessage(logReaderReport(event)),
});
parentPort?.postMessage({ type: 'ready' });
await runYielding(agent, new Doorbell(regions.control, seat), IDLE_STRATEGIES.park, Date.now);
await agent.close();
releaseSeat(regions.control, seat);
