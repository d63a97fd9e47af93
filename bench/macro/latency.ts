// Latency from the moment that a message is due to the moment that a handler in another thread has it.
//
//   latency-direct      at a tenth of the throughput, the writer owns the partition
//   latency-broker      the same through a broker worker
//   latency-ping-pong   an idle system: one message there and its answer back, both through the broker worker
//
// Load is open: messages are stamped with the time that they were due, so that a stall of the sender counts.
import { startBroker } from '../../src/index.ts';
import { type Bench, check, type Latency, type Measured, type Scale } from '../support/bench.ts';
import { BOARD, startThread } from '../support/threads.ts';

const SENDER = new URL('./threads/latency-sender.js', import.meta.url);
const RECEIVER = new URL('./threads/latency-receiver.js', import.meta.url);

interface Load {
  readonly mode: 'direct' | 'broker' | 'ping-pong';
  readonly perSecond: number;
}

interface ReceiverResult {
  readonly received: number;
  readonly latency: Latency;
}

async function measure(load: Load, scale: Scale): Promise<Measured> {
  await using broker = await startBroker({});
  const connection = broker.connect();
  const direct = load.mode === 'direct';
  await connection.createTopic('there', { partitions: 1, direct });
  await connection.createTopic('back', { partitions: 1 });
  const board = new SharedArrayBuffer(64);
  const data = { attachment: broker.attachment, ...load, bodyBytes: scale.bodyBytes, durationMs: scale.durationMs };
  const sender = startThread(SENDER, data, board);
  await sender.ready;
  const receiver = startThread(RECEIVER, data, board);
  await receiver.ready;
  const words = new Int32Array(board);
  Atomics.store(words, BOARD.go, 1);
  Atomics.notify(words, BOARD.go);
  const sent = (await sender.result) as ReceiverResult;
  const got = (await receiver.result) as ReceiverResult;
  check(got.received === sent.received, `${got.received} of ${sent.received} arrived`);
  const latency = load.mode === 'ping-pong' ? sent.latency : got.latency;
  return { messagesPerSecond: got.received / (scale.durationMs / 1000), latency };
}

function bench(name: string, what: string, load: Load): Bench {
  return { name, what, peers: [], measure: (scale) => measure(load, scale) };
}

export const latencyBenches: readonly Bench[] = [
  bench('latency-direct', 'send to handler at 2.5 M msg/s, direct partition', { mode: 'direct', perSecond: 2_500_000 }),
  bench('latency-broker', 'send to handler at 2 M msg/s through a broker worker', {
    mode: 'broker',
    perSecond: 2_000_000,
  }),
  bench('latency-ping-pong', 'an idle system: there and back through a broker worker', {
    mode: 'ping-pong',
    perSecond: 0,
  }),
];
