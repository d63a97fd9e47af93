// Thread door: the NameServer.
import { parentPort, threadId, workerData } from 'node:worker_threads';
import { SEAT_NAMESERVER } from '../native-layout/control.ts';
import { Doorbell } from '../src/memory/bell.ts';
import { attachRegions } from '../src/memory/regions.ts';
import { claimSeat, releaseSeat } from '../src/memory/seats.ts';
import { NameServerAgent } from '../src/nameserver/nameserver-agent.ts';
import { IDLE_STRATEGIES, runBlocking } from '../src/thread/agent.ts';
import type { NameServerWorkerData } from '../src/thread/worker-data.ts';

const data = workerData as NameServerWorkerData;
const regions = attachRegions(data.attachment);
const seat = claimSeat(regions.control, SEAT_NAMESERVER, SEAT_NAMESERVER, 'nameserver', threadId);
if (seat !== SEAT_NAMESERVER) throw new Error('the NameServer seat is taken');

const agent = new NameServerAgent(regions, data.options, Date.now, data.topics, (change) => {
  parentPort?.postMessage({ type: 'topic', ...change });
});
parentPort?.postMessage({ type: 'ready' });
runBlocking(agent, new Doorbell(regions.control, seat), IDLE_STRATEGIES.park, Date.now);
releaseSeat(regions.control, seat);
