// What a transaction costs: a half message, then a commit, both as safe as a durable send. Beside it, in the same run,
// plain durable sends on the same broker.
//
//   transaction   64 under way at once; in the notes one at a time, and plain sends measured alike
//
// The ratio in the notes is the time of a transaction over the time of a plain send, at the same number under way. The
// time ends when a consumer has every message: a commit is answered before its message is in the topic.
//
// Before that both kinds run as long as a whole run, uncounted: the threads of a broker that has just started are busy
// compiling what they run, transactions more than plain sends, for they take more code and fewer turns.
import type { InProcessConnection } from '../../src/client/in-process.ts';
import type { Transaction } from '../../src/client/messaging.ts';
import type { SendReceipt } from '../../src/index.ts';
import { type Bench, check, type Measured, type Scale } from '../support/bench.ts';
import { withBroker } from './durable.ts';

const TOPIC = 'bench';
const UNDER_WAY = 64;
const RING_BYTES = 16 * 1024 * 1024;
/** Shares of a run's time: two kinds, one at a time and many. */
const PARTS = 4;
/** Messages that have not come then are lost. */
const COME_MS = 10_000;
const AGAIN_MS = 200;

/**
 * Repeats an operation for some time, so many at once, and waits until all messages have come; returns operations a
 * second.
 */
async function perSecond(
  underWay: number,
  durationMs: number,
  run: () => Promise<unknown>,
  allCame: () => Promise<void>,
): Promise<number> {
  let done = 0;
  const begun = performance.now();
  const end = begun + durationMs;
  const one = async (): Promise<void> => {
    while (performance.now() < end) {
      await run();
      done++;
    }
  };
  await Promise.all(Array.from({ length: underWay }, one));
  await allCame();
  return (done / (performance.now() - begun)) * 1_000;
}

/** Bodies with a number each, and which of them came. */
class Numbered {
  sent = 0;
  received = 0;
  wrong = 0;
  private readonly bytes: number;
  private readonly seen: boolean[] = [];

  constructor(bodyBytes: number) {
    this.bytes = bodyBytes;
  }

  next(): Uint8Array {
    const body = new Uint8Array(this.bytes);
    new Int32Array(body.buffer)[0] = this.sent++;
    return body;
  }

  take(number: number): void {
    if (this.seen[number]) this.wrong++;
    this.seen[number] = true;
    this.received++;
  }
}

async function measure(scale: Scale): Promise<Measured> {
  return withBroker({}, async (broker) => {
    const connection: InProcessConnection = broker.connect();
    await connection.createTopic(TOPIC, { ringBytes: RING_BYTES });
    const bodies = new Numbered(scale.bodyBytes);
    const consumer = connection.consumer(TOPIC, {
      onBatch: (batch) => {
        while (batch.next()) bodies.take(batch.int32(0));
      },
    });
    await consumer.ready();
    const plain = connection.producer<Uint8Array>(TOPIC, { ack: 'durable' });
    await plain.ready();
    const transactional = connection.transactionalProducer<Uint8Array>(TOPIC, {
      group: 'bench',
      check: () => 'unknown',
    });
    const send = (): Promise<SendReceipt> => Promise.resolve(plain.send(bodies.next()));
    const transact = async (): Promise<void> => {
      const transaction: Transaction = await transactional.begin(bodies.next());
      return transaction.commit();
    };
    const allCame = async (): Promise<void> => {
      const deadline = performance.now() + COME_MS;
      while (bodies.received < bodies.sent && performance.now() < deadline) await new Promise((go) => setImmediate(go));
      check(bodies.received === bodies.sent, `${bodies.received} of ${bodies.sent} messages came`);
    };
    const partMs = scale.durationMs / PARTS;
    for (const run of [send, transact]) await perSecond(UNDER_WAY, scale.durationMs, run, allCame);
    const plainOne = await perSecond(1, partMs, send, allCame);
    const one = await perSecond(1, partMs, transact, allCame);
    const plainMany = await perSecond(UNDER_WAY, partMs, send, allCame);
    const many = await perSecond(UNDER_WAY, partMs, transact, allCame);
    // What came twice came soon after.
    await new Promise((go) => setTimeout(go, AGAIN_MS));
    check(bodies.wrong === 0, `${bodies.wrong} messages came twice`);
    const notes = {
      underWay: UNDER_WAY,
      plainPerSecond: Math.round(plainMany),
      timesAPlainSend: Math.round((plainMany / many) * 100) / 100,
      oneAtATimePerSecond: Math.round(one),
      oneAtATimePlainPerSecond: Math.round(plainOne),
      oneAtATimeTimesAPlainSend: Math.round((plainOne / one) * 100) / 100,
    };
    return { messagesPerSecond: many, notes };
  });
}

export const transactionBenches: readonly Bench[] = [
  { name: 'transaction', what: 'begin and commit, 64 under way, against plain durable sends', peers: [], measure },
];
