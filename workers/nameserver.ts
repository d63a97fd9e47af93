// Thread door: the NameServer.
import { parentPort, threadId, workerData } from 'node:worker_threads';
import { SEAT_NAMESERVER } from '../native-layout/control.ts';
import { makeLog } from '../src/base/log.ts';
import { Doorbell } from '../src/memory/bell.ts';
import { attachRegions } from '../src/memory/regions.ts';
import { claimSeat, releaseSeat } from '../src/memory/seats.ts';
import type { TopicRecord } from '../src/nameserver/directory.ts';
import { NameServerAgent, type NameServerOptions } from '../src/nameserver/nameserver-agent.ts';
import type { RecoveredQueues } from '../src/nameserver/restart.ts';
import { MemoryMetaStore, type MetaStore } from '../src/state/meta.ts';
import { IDLE_STRATEGIES, runBlocking, steadyClock } from '../src/thread/agent.ts';
import type { NameServerWorkerData } from '../src/thread/worker-data.ts';

/** Commits of offsets gather for 50 ms: it must look that often. */
const IDLE = { ...IDLE_STRATEGIES.park, parkMs: 25 };

const data = workerData as NameServerWorkerData<NameServerOptions, TopicRecord, RecoveredQueues>;
const regions = attachRegions(data.attachment);
const seat = claimSeat(regions.control, SEAT_NAMESERVER, SEAT_NAMESERVER, 'nameserver', threadId);
if (seat !== SEAT_NAMESERVER) throw new Error('the NameServer seat is taken');

const log = makeLog(data.logLevel ?? 'warn');
const recovered = data.recovered ?? { queues: [], clean: true };
const warn = (text: string): void => log.warn(text);
const memory = { known: data.topics, meta: await openMeta(data.stateFolder), recovered, warn };
const clock = steadyClock();
const agent = new NameServerAgent(regions, data.options, clock, memory, (change) => {
  parentPort?.postMessage({ type: 'topic', ...change });
});
parentPort?.postMessage({ type: 'ready' });
runBlocking(agent, new Doorbell(regions.control, seat), IDLE, clock);
agent.close();
releaseSeat(regions.control, seat);

/** A broker that keeps nothing does not load what writes to the disk. */
async function openMeta(folder: string | undefined): Promise<MetaStore> {
  return folder === undefined
    ? new MemoryMetaStore()
    : (await import('../src/state/meta-store.ts')).openMetaStore(folder);
}
