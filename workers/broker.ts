// Thread door: one broker worker.
import { parentPort, threadId, workerData } from 'node:worker_threads';
import { BrokerAgent } from '../src/broker/broker-agent.ts';
import { OwnedPartitions } from '../src/broker/owned-partitions.ts';
import { NodeDisk } from '../src/log/disk-node.ts';
import type { Run } from '../src/log/run.ts';
import { readTail } from '../src/log/run-tail.ts';
import { ArenaSet, claimArenaId } from '../src/memory/arena.ts';
import { Doorbell } from '../src/memory/bell.ts';
import { attachRegions } from '../src/memory/regions.ts';
import { claimSeat, releaseSeat } from '../src/memory/seats.ts';
import { IDLE_STRATEGIES, runBlocking } from '../src/thread/agent.ts';
import { Announcements } from '../src/thread/announcements.ts';
import type { BrokerWorkerData } from '../src/thread/worker-data.ts';

const data = workerData as BrokerWorkerData<Run>;
const regions = attachRegions(data.attachment);
const seat = claimSeat(regions.control, data.seat, data.seat, 'broker', threadId);
if (seat !== data.seat) throw new Error(`seat ${data.seat} is taken`);
const arenas = new ArenaSet();
for (const arena of data.attachment.arenas) arenas.add(arena.id, arena.buffer);
const announcements = new Announcements(data.attachment.id, arenas);
const ownArenas = data.attachment.arenas.filter((arena) => arena.owner === seat).map((arena) => arena.id);

const tails = new Map(data.tails?.map((one) => [one.id, one.runs]));
const disk = data.logFolder === undefined ? undefined : new NodeDisk(data.logFolder);
const recoveredTail = (id: number): Uint8Array | undefined => disk && readTail(disk, tails.get(id) ?? []);

const agent = new BrokerAgent(
  regions,
  seat,
  new OwnedPartitions({
    regions,
    seat,
    arenas,
    ownArenas,
    ringMemoryMaxBytes: data.ringMemoryMaxBytes,
    recoveredTail,
    addArena: (lengthBytes) => {
      const arena = { id: claimArenaId(regions.control), owner: seat, buffer: new SharedArrayBuffer(lengthBytes) };
      arenas.add(arena.id, arena.buffer);
      announcements.say({ type: 'arena', arena });
      return arena.id;
    },
  }),
);
agent.takeOver();
parentPort?.postMessage({ type: 'ready' });
runBlocking(agent, new Doorbell(regions.control, seat), IDLE_STRATEGIES[data.idle], Date.now);
releaseSeat(regions.control, seat);
announcements.close();
