// Over WebSocket on the loopback interface; the broker has a process of its own.
//
//   ws-1-1          P ─ws─► front end ─lane─► W ─ring─► front end ─ws─► C
//   ws-1-1-durable  the same through a durable topic, ack `durable`
//   ws-fanout-100   one publisher, a hundred connections that get everything; the figure is deliveries a second
//
// The publisher warms up before it is measured, and so does the peer (bench.ts: WARM_UP).
import { connect } from '../../src/index.ts';
import { wsEcho } from '../peers/ws-relay.ts';
import { type Bench, type Contestant, check, type Measured, type Scale } from '../support/bench.ts';
import { inBenchFolder } from '../support/folder.ts';
import { busiest, startServer } from '../support/server.ts';
import { BOARD, startThread } from '../support/threads.ts';
import type { ConsumerResult } from './threads/in-process-consumer.ts';

const PUBLISHER = new URL('./threads/ws-publisher.js', import.meta.url);
const SUBSCRIBER = new URL('./threads/ws-subscriber.js', import.meta.url);

async function measure(connections: number, data: string | undefined, scale: Scale): Promise<Measured> {
  const server = await startServer(data === undefined ? {} : { data });
  try {
    const admin = connect(server.url);
    await admin.createTopic('bench', { partitions: 1, ringBytes: 8 * 1024 * 1024 });
    await admin.close();
    const board = new SharedArrayBuffer(64);
    const common = {
      url: server.url,
      topic: 'bench',
      connections,
      bodyBytes: scale.bodyBytes,
      durationMs: scale.durationMs,
    };
    const reader = startThread(SUBSCRIBER, common, board);
    await reader.ready;
    const writer = startThread(PUBLISHER, common, board);
    await writer.ready;
    const words = new Int32Array(board);
    const warm = Atomics.load(words, BOARD.warm) * connections;
    const before = server.threadSeconds();
    Atomics.store(words, BOARD.go, 1);
    Atomics.notify(words, BOARD.go);
    const sent = (await writer.result) as number;
    const got = (await reader.result) as ConsumerResult;
    const frontEndSeconds = busiest(before, server.threadSeconds());
    check(got.wrong === 0, `${got.wrong} messages were reordered or changed`);
    check(got.received === sent * connections, `${got.received} of ${sent * connections} messages arrived`);
    const counted = got.received - warm;
    const notes = {
      frontEndCpuSeconds: Math.round(frontEndSeconds * 100) / 100,
      deliveriesPerFrontEndCpuSecond: frontEndSeconds > 0 ? Math.round(counted / frontEndSeconds) : 'unknown',
    };
    return { messagesPerSecond: counted / got.seconds, notes };
  } finally {
    await server.stop();
  }
}

function bench(name: string, what: string, connections: number, peers: readonly Contestant[]): Bench {
  return { name, what, peers, measure: (scale) => measure(connections, undefined, scale) };
}

/** The same through a durable topic: every message is on the disk before it is acknowledged. */
function measureDurable(scale: Scale): Promise<Measured> {
  return inBenchFolder((folder) => measure(1, folder, scale));
}

export const wsBenches: readonly Bench[] = [
  bench('ws-1-1', 'one WebSocket client to another through the broker', 1, [wsEcho]),
  { name: 'ws-1-1-durable', what: 'the same, on the disk before the ack', peers: [wsEcho], measure: measureDurable },
  bench('ws-fanout-100', 'one publisher to a hundred WebSocket connections; deliveries', 100, []),
];
