// Topologies inside one process: who publishes and who reads are threads of their own.
//
//   in-process-direct    P ─ring─► C            the publishing thread owns the partition
//   in-process-broker    P ─lane─► W ─ring─► C  through a broker worker, batches filled by trySend()
//   in-process-single    the same, one send() with a receipt for every message
//   in-process-1-3       one ring, three readers
//   in-process-3-1       three publishers with a partition each, one reader
import { startBroker } from '../../src/index.ts';
import { broadcastChannel, messagePort, ringbufBlocks, ringbufSingle } from '../peers/peers.ts';
import { type Bench, check, type Measured, type Scale } from '../support/bench.ts';
import { BOARD, startThread } from '../support/threads.ts';
import type { ConsumerResult } from './threads/in-process-consumer.ts';

type Mode = 'direct' | 'batches' | 'single';

interface Topology {
  readonly mode: Mode;
  readonly producers: number;
  readonly consumers: number;
}

const PRODUCER = new URL('./threads/in-process-producer.js', import.meta.url);
const CONSUMER = new URL('./threads/in-process-consumer.js', import.meta.url);

async function measure(topology: Topology, scale: Scale): Promise<Measured> {
  const { mode, producers, consumers } = topology;
  await using broker = await startBroker({});
  const connection = broker.connect();
  await connection.createTopic('bench', { partitions: producers, direct: mode === 'direct' });
  const board = new SharedArrayBuffer(64);
  const common = { attachment: broker.attachment, topic: 'bench', bodyBytes: scale.bodyBytes };
  const writing = Array.from({ length: producers }, (_, partition) =>
    startThread(PRODUCER, { ...common, mode, durationMs: scale.durationMs, partition }, board),
  );
  for (const one of writing) await one.ready;
  const reading = Array.from({ length: consumers }, () => startThread(CONSUMER, { ...common, producers }, board));
  for (const one of reading) await one.ready;
  const words = new Int32Array(board);
  Atomics.store(words, BOARD.go, 1);
  Atomics.notify(words, BOARD.go);
  const sent = (await Promise.all(writing.map((one) => one.result))) as number[];
  const results = (await Promise.all(reading.map((one) => one.result))) as ConsumerResult[];
  const total = sent.reduce((sum, one) => sum + one, 0);
  for (const one of results) {
    check(one.wrong === 0, `${one.wrong} messages were reordered or changed`);
    check(one.received === total, `${one.received} of ${total} messages arrived`);
  }
  // The slowest reader decides; each of several readers gets all messages.
  return { messagesPerSecond: total / Math.max(...results.map((one) => one.seconds)) };
}

function bench(name: string, what: string, topology: Topology, peers: Bench['peers'] = []): Bench {
  return { name, what, peers, measure: (scale) => measure(topology, scale) };
}

export const inProcessBenches: readonly Bench[] = [
  bench(
    'in-process-direct',
    'one thread to another, the writer owns the partition',
    { mode: 'direct', producers: 1, consumers: 1 },
    [messagePort, broadcastChannel, ringbufSingle, ringbufBlocks],
  ),
  bench(
    'in-process-broker',
    'one thread to another through a broker worker',
    { mode: 'batches', producers: 1, consumers: 1 },
    [messagePort, broadcastChannel, ringbufSingle, ringbufBlocks],
  ),
  bench(
    'in-process-single',
    'the same, one send() and one receipt a message',
    { mode: 'single', producers: 1, consumers: 1 },
    [messagePort, ringbufSingle],
  ),
  bench(
    'in-process-1-3',
    'one publisher, three readers of everything',
    { mode: 'batches', producers: 1, consumers: 3 },
    [messagePort],
  ),
  bench('in-process-3-1', 'three publishers, one reader', { mode: 'batches', producers: 3, consumers: 1 }, [
    messagePort,
  ]),
];
