// Thread door: the store, which writes the log.
import { parentPort, threadId, workerData } from 'node:worker_threads';
import { SEAT_STORE } from '../native-layout/control.ts';
import { BlockBuilder } from '../src/log/block-builder.ts';
import { NodeDisk } from '../src/log/disk-node.ts';
import type { RecoveredLog } from '../src/log/run.ts';
import { ArenaSet } from '../src/memory/arena.ts';
import { Doorbell } from '../src/memory/bell.ts';
import { attachRegions, storeRegions } from '../src/memory/regions.ts';
import { claimSeat, releaseSeat, seatGeneration } from '../src/memory/seats.ts';
import { storeReport } from '../src/store/reports.ts';
import { openStore } from '../src/store/store-successor.ts';
import { IDLE_STRATEGIES, runYielding, steadyClock } from '../src/thread/agent.ts';
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
// What the first one was given is old by now: a successor looks for itself.
const isFirst = seatGeneration(regions.control, SEAT_STORE) === 1;

const agent = openStore(
  {
    regions,
    seat,
    arenas,
    builder: new BlockBuilder(),
    mode,
    disk: new NodeDisk(data.folder),
    generation,
    segmentBytes,
    clock: Date.now,
    hear: () => announcements.poll(),
    wantArenas: () => announcements.say({ type: 'arenas-wanted' }),
    report: (event) => parentPort?.postMessage(storeReport(event)),
  },
  isFirst ? data.recovered : undefined,
);
parentPort?.postMessage({ type: 'ready' });
await runYielding(agent, new Doorbell(regions.control, seat), IDLE_STRATEGIES.park, steadyClock());
agent.close();
releaseSeat(regions.control, seat);
announcements.close();
