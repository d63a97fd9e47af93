// What a filter costs: messages that are looked at, one in a hundred is wanted.
//
//   filter-tag   ring ─► C, by tag; notes: everything, by SQL, and by tag through a front end over WebSocket
import { type Connection, connect, startBroker } from '../../src/index.ts';
import { type Bench, check, type Measured, type Scale } from '../support/bench.ts';
import { Payload } from '../support/payload.ts';
import { startServer } from '../support/server.ts';
import { BOARD, startThread } from '../support/threads.ts';
import { type FilterResult, StepChecker } from './threads/filter-consumer.ts';

const CONSUMER = new URL('./threads/filter-consumer.js', import.meta.url);
const EVERY = 100;
const MESSAGES = 1_000_000;
/** Of a run that only shows that it works. */
const MESSAGES_TINY = 50_000;
const TINY_MS = 500;
/** Record header, tag and padding, and the record's share of the batch's header. */
const RECORD_OVERHEAD_BYTES = 40;
const SQL = "TAGS = 'rare' AND amount IS NULL";

async function filterTag(scale: Scale): Promise<Measured> {
  const { durationMs, bodyBytes } = scale;
  const count = durationMs < TINY_MS ? MESSAGES_TINY : MESSAGES;
  await using broker = await startBroker({ ringMemoryMaxBytes: 2 * ringBytesFor(count, bodyBytes) });
  const connection = broker.connect();
  await fill(connection, count, bodyBytes);
  const board = new SharedArrayBuffer(64);
  const short = durationMs / 3;
  const runs = [{ filter: 'rare', durationMs }, { durationMs: short }, { filter: { sql: SQL }, durationMs: short }];
  const data = { attachment: broker.attachment, topic: 'bench', count, every: EVERY, bodyBytes, runs };
  const thread = startThread(CONSUMER, data, board);
  await thread.ready;
  const words = new Int32Array(board);
  Atomics.store(words, BOARD.go, 1);
  Atomics.notify(words, BOARD.go);
  const { scannedPerSecond, wrong } = (await thread.result) as FilterResult;
  await connection.close();
  check(wrong === 0, `${wrong} messages were lost, not wanted or changed`);
  const [tag, everything, sql] = scannedPerSecond.map(Math.round);
  const overWebSocket = Math.round(await filterOverWebSocket(scale, count));
  return { messagesPerSecond: tag, notes: { everything, sql, overWebSocket } };
}

function ringBytesFor(count: number, bodyBytes: number): number {
  return 2 ** Math.ceil(Math.log2(count * (bodyBytes + RECORD_OVERHEAD_BYTES)));
}

async function fill(connection: Connection, count: number, bodyBytes: number): Promise<void> {
  await connection.createTopic('bench', { partitions: 1, ringBytes: ringBytesFor(count, bodyBytes) });
  const producer = connection.producer('bench', { partition: 0, timeoutMs: 60_000 });
  await producer.ready();
  const payload = new Payload(bodyBytes);
  const [rare, plenty] = [{ tag: 'rare' }, { tag: 'plenty' }];
  for (let i = 0; i < count; i++) {
    while (!producer.trySend(payload.of(i), i % EVERY === 0 ? rare : plenty)) await producer.ready();
  }
  await producer.flush();
  await producer.close();
}

/** Messages a second that a front end looks at for one subscriber. */
async function filterOverWebSocket({ durationMs, bodyBytes }: Scale, count: number): Promise<number> {
  const server = await startServer({ ringMemoryMaxBytes: 2 * ringBytesFor(count, bodyBytes) });
  try {
    const connection = connect(server.url);
    await fill(connection, count, bodyBytes);
    const checker = new StepChecker(EVERY, bodyBytes);
    let scanned = 0;
    let spent = 0;
    while (spent < durationMs / 3) {
      const began = performance.now();
      const consumer = connection.consumer('bench', {
        from: 'earliest',
        filter: 'rare',
        onBatch: (batch) => checker.take(batch),
      });
      await consumer.ready();
      // The last messages match nothing: of those it hears some time later.
      const last = count - EVERY;
      while (consumer.positions()[0].offset <= last) await new Promise(setImmediate);
      spent += performance.now() - began;
      scanned += last;
      checker.finish(count);
      await consumer.close();
    }
    await connection.close();
    check(checker.wrong === 0, `${checker.wrong} messages over WebSocket were lost, not wanted or changed`);
    return (scanned * 1_000) / spent;
  } finally {
    await server.stop();
  }
}

export const filterBenches: readonly Bench[] = [
  {
    name: 'filter-tag',
    what: 'a subscription by tag that wants one message in a hundred; messages looked at',
    peers: [],
    measure: filterTag,
  },
];
