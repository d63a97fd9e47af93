// Push consumers that share a topic with their group, beside the same readers without a group.
//
//   push-clustered     P ─lane─► W ─ring─► a group of one member
//   push-clustered-2   two publishers with a partition each, a group of two members
//   ws-clustered       one publisher to a group of one member over WebSocket; it warms up first (bench.ts: WARM_UP)
import { connect, startBroker } from '../../src/index.ts';
import { type Bench, type Contestant, check, type Measured, type Scale } from '../support/bench.ts';
import { startServer } from '../support/server.ts';
import { type BenchThread, BOARD, startThread } from '../support/threads.ts';
import type { GroupData } from './threads/group-consumer.ts';
import type { ConsumerResult } from './threads/in-process-consumer.ts';

const PRODUCER = new URL('./threads/in-process-producer.js', import.meta.url);
const WS_PUBLISHER = new URL('./threads/ws-publisher.js', import.meta.url);
const CONSUMER = new URL('./threads/group-consumer.js', import.meta.url);
const RING_BYTES = 8 * 1024 * 1024;

async function inProcess(members: number, group: string | undefined, scale: Scale): Promise<Measured> {
  await using broker = await startBroker({});
  const connection = broker.connect();
  await connection.createTopic('bench', { partitions: members, ringBytes: RING_BYTES });
  const board = new SharedArrayBuffer(64);
  const common = { attachment: broker.attachment, topic: 'bench', bodyBytes: scale.bodyBytes };
  const startWriting = () =>
    Array.from({ length: members }, (_, partition) =>
      startThread(PRODUCER, { ...common, mode: 'batches', durationMs: scale.durationMs, partition }, board),
    );
  const reading = startMembers({ ...common, producers: members, members }, group, board);
  return await measured(startWriting, reading, board);
}

async function overWebSocket(group: string | undefined, scale: Scale): Promise<Measured> {
  const server = await startServer({});
  try {
    const admin = connect(server.url);
    await admin.createTopic('bench', { partitions: 1, ringBytes: RING_BYTES });
    await admin.close();
    const board = new SharedArrayBuffer(64);
    const { bodyBytes, durationMs } = scale;
    const common = { url: server.url, topic: 'bench', bodyBytes };
    const startWriting = () => [startThread(WS_PUBLISHER, { ...common, connections: 1, durationMs }, board)];
    const reading = startMembers({ ...common, producers: 1, members: 1 }, group, board);
    return await measured(startWriting, reading, board);
  } finally {
    await server.stop();
  }
}

function startMembers(data: Omit<GroupData, 'member'>, group: string | undefined, board: SharedArrayBuffer) {
  return Array.from({ length: data.members }, (_, member) =>
    startThread(CONSUMER, { ...data, member, ...(group === undefined ? {} : { group }) }, board),
  );
}

async function measured(
  startWriting: () => readonly BenchThread[],
  reading: readonly BenchThread[],
  board: SharedArrayBuffer,
): Promise<Measured> {
  for (const one of reading) await one.ready;
  const writing = startWriting();
  for (const one of writing) await one.ready;
  const words = new Int32Array(board);
  const warm = Atomics.load(words, BOARD.warm);
  Atomics.store(words, BOARD.go, 1);
  Atomics.notify(words, BOARD.go);
  const sent = (await Promise.all(writing.map((one) => one.result))) as number[];
  const results = (await Promise.all(reading.map((one) => one.result))) as ConsumerResult[];
  const total = sent.reduce((sum, one) => sum + one, 0);
  const received = results.reduce((sum, one) => sum + one.received, 0);
  for (const one of results) check(one.wrong === 0, `${one.wrong} messages were reordered or changed`);
  check(received === total, `${received} of ${total} messages arrived`);
  return { messagesPerSecond: (total - warm) / Math.max(...results.map((one) => one.seconds)) };
}

function broadcasting(measure: (scale: Scale) => Promise<Measured>): Contestant {
  return { name: 'broadcasting', measure };
}

export const pushBenches: readonly Bench[] = [
  {
    name: 'push-clustered',
    what: 'a group of one member in process, whole batches acknowledged',
    peers: [broadcasting((scale) => inProcess(1, undefined, scale))],
    measure: (scale) => inProcess(1, 'bench', scale),
  },
  {
    name: 'push-clustered-2',
    what: 'two publishers, a group of two members in process',
    peers: [broadcasting((scale) => inProcess(2, undefined, scale))],
    measure: (scale) => inProcess(2, 'bench', scale),
  },
  {
    name: 'ws-clustered',
    what: 'a group of one member over WebSocket',
    peers: [broadcasting((scale) => overWebSocket(undefined, scale))],
    measure: (scale) => overWebSocket('bench', scale),
  },
];
