// Delayed messages: one million of them scheduled, each acknowledged, and then delivered at their times.
//
//   timers           A ─call─► coordinator ─lane─► W ─ring─► A     a broker without data
//   timers-durable   the same with a data folder: what is acknowledged survives the loss of power
//
// The times lie 1/200 ms apart, so that 200,000 a second are due for five seconds. Lateness is the time of delivery to
// the consumer less the time that the message was scheduled for.
import { type Broker, startBroker } from '../../src/index.ts';
import { type Bench, check, type Measured, type Scale } from '../support/bench.ts';
import { inBenchFolder } from '../support/folder.ts';
import { LatencyRecorder, sharedNow } from '../support/latency.ts';

const MESSAGES = 1_000_000;
const MESSAGES_TINY = 20_000;
/** Due in each millisecond. */
const EACH_MS = 200;
/** Scheduled in one turn by each of SENDERS, who wait for their acknowledgements. */
const TURN = 1_024;
const SENDERS = 8;
/** Time for scheduling, before the first one is due: a moment, and as if 60,000 a second could be scheduled. */
const LEAD_MS = 2_000;
const LEAD_EACH_MS = 60;
const LATE_MS = 60_000;

/** What came: which messages, how late. */
interface Tally {
  received: number;
  wrong: number;
  lastAt: number;
  readonly lateness: LatencyRecorder;
}

type Client = ReturnType<Broker['connect']>;

async function listen(client: Client, count: number, dueOf: (index: number) => number): Promise<Tally> {
  const seen = new Uint8Array(count);
  const tally: Tally = { received: 0, wrong: 0, lastAt: 0, lateness: new LatencyRecorder() };
  const consumer = client.consumer('bench', {
    onBatch: (batch) => {
      const now = sharedNow();
      while (batch.next()) {
        const index = batch.int32(0);
        if (seen[index] !== 0) tally.wrong++;
        seen[index] = 1;
        tally.received++;
        tally.lateness.record(now - dueOf(index));
      }
      tally.lastAt = now;
    },
  });
  await consumer.ready();
  return tally;
}

async function scheduleAll(client: Client, count: number, bodyBytes: number, dueOf: (index: number) => number) {
  let next = 0;
  const sender = async (): Promise<void> => {
    while (next < count) {
      const calls: Promise<unknown>[] = [];
      for (; calls.length < TURN && next < count; next++) {
        const body = new Uint8Array(bodyBytes);
        new Int32Array(body.buffer)[0] = next;
        calls.push(client.schedule('bench', body, { deliverAt: dueOf(next) }));
      }
      await Promise.all(calls);
    }
  };
  await Promise.all(Array.from({ length: SENDERS }, sender));
}

async function measure(scale: Scale, data: string | undefined): Promise<Measured> {
  const count = scale.durationMs < 1_000 ? MESSAGES_TINY : MESSAGES;
  await using broker = await startBroker(data === undefined ? {} : { data });
  const client = broker.connect();
  await client.createTopic('bench', { partitions: 4 });
  const begun = sharedNow();
  const firstDue = Math.ceil(begun + LEAD_MS + count / LEAD_EACH_MS);
  const dueOf = (index: number): number => firstDue + Math.floor(index / EACH_MS);
  const tally = await listen(client, count, dueOf);
  await scheduleAll(client, count, scale.bodyBytes, dueOf);
  const scheduled = sharedNow();
  check(scheduled < firstDue, `scheduling took ${scheduled - begun} ms: longer than the times lie ahead`);
  const memoryBytes = process.memoryUsage().rss;
  const deadline = dueOf(count) + LATE_MS;
  while (tally.received < count && sharedNow() < deadline) await new Promise((resolve) => setTimeout(resolve, 10));
  check(tally.received === count, `${tally.received} of ${count} messages came`);
  check(tally.wrong === 0, `${tally.wrong} messages came twice`);
  return {
    messagesPerSecond: (count / (tally.lastAt - firstDue)) * 1_000,
    latency: tally.lateness.result(),
    notes: {
      messages: count,
      'scheduled/s': Math.round((count / (scheduled - begun)) * 1_000),
      'MB with all waiting': Math.round(memoryBytes / 1e6),
    },
  };
}

function measureDurable(scale: Scale): Promise<Measured> {
  return inBenchFolder((folder) => measure(scale, folder));
}

export const timerBenches: readonly Bench[] = [
  {
    name: 'timers',
    what: 'delayed messages: fired a second (200,000 a second are due), lateness at the consumer',
    peers: [],
    runsMax: 3,
    measure: (scale) => measure(scale, undefined),
  },
  {
    name: 'timers-durable',
    what: 'the same with a data folder: scheduled means that the disk has it',
    peers: [],
    runsMax: 3,
    measure: measureDurable,
  },
];
