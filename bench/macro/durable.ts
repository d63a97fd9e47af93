// Through the log.
//
//   in-process-broker-written   in-process-broker with ack `written`, for a minute; segments are used again
//   durable                     the same with ack `durable`; latency from due time to ack at 2.5 M msg/s, and in the
//                               notes at half of the throughput
//   topics-10k                  10,000 durable topics, one after the other in turns, against one topic: see notes
//   catch-up                    reading a topic from the disk, from its beginning
//   recovery                    the start of a broker that finds a log without indexes: everything is verified
//   catch-up-beside             the same while another thread publishes: see notes for what the publisher loses
import { readdirSync, rmSync } from 'node:fs';
import path from 'node:path';
import { BATCH_HEADER_BYTES } from '../../native-layout/batch.ts';
import { makeLog } from '../../src/base/log.ts';
import { type Broker, type BrokerOptions, startBroker } from '../../src/index.ts';
import { recordLength } from '../../src/record/batch-builder.ts';
import { openStore } from '../../src/server/store.ts';
import { settleStore } from '../../src/server/store-options.ts';
import { natsJetStream, redisStreams } from '../peers/durable-peers.ts';
import { type Bench, check, type Measured, type Scale } from '../support/bench.ts';
import { inBenchFolder } from '../support/folder.ts';
import { BOARD, startThread } from '../support/threads.ts';
import type { DurableSenderResult } from './threads/durable-sender.ts';
import type { ConsumerResult } from './threads/in-process-consumer.ts';
import type { TopicsResult } from './threads/topics-producer.ts';

const PRODUCER = new URL('./threads/in-process-producer.js', import.meta.url);
const CONSUMER = new URL('./threads/in-process-consumer.js', import.meta.url);
const SENDER = new URL('./threads/durable-sender.js', import.meta.url);
const TOPICS = new URL('./threads/topics-producer.js', import.meta.url);

const MIB = 1024 * 1024;
const GIB = 1024 * MIB;
const RING_BYTES = 16 * MIB;
/** A minute for each run of the default three seconds. */
const SUSTAINED_FACTOR = 20;
/** Load of the latency figure: the same on every machine that can bear it. */
const STEADY_PER_SECOND = 2_500_000;
const SUSTAINED_RUNS_MAX = 3;
/** The log of a minute is larger than many disks' free room. */
const KEPT_BYTES = 8 * GIB;
const TOPIC_COUNT = 10_000;
const TINY_TOPIC_COUNT = 50;
const TINY_MS = 100;
/** Messages for one topic before the next has its turn; small turns and large ones. */
const TURN = 32;
const LARGE_TURN = 256;
const RING_BYTES_OF_MANY = 16 * 1024;

/** Runs with a broker that keeps its data in a folder of its own. */
export async function withBroker<T>(options: BrokerOptions, run: (broker: Broker, folder: string) => Promise<T>) {
  return inBenchFolder(async (folder) => {
    await using broker = await startBroker({ data: folder, ...options });
    return await run(broker, folder);
  });
}

async function publish(broker: Broker, ack: 'written' | 'durable', scale: Scale): Promise<Measured> {
  const board = new SharedArrayBuffer(64);
  const { bodyBytes, durationMs } = scale;
  const common = { attachment: broker.attachment, topic: 'bench', bodyBytes };
  const writer = startThread(PRODUCER, { ...common, mode: 'batches', durationMs, partition: 0, ack }, board);
  await writer.ready;
  const reader = startThread(CONSUMER, { ...common, producers: 1 }, board);
  await reader.ready;
  go(board);
  const began = performance.now();
  const sent = (await writer.result) as number;
  const acked = (performance.now() - began) / 1000;
  const got = (await reader.result) as ConsumerResult;
  check(got.wrong === 0, `${got.wrong} messages were reordered or changed`);
  check(got.received === sent, `${got.received} of ${sent} messages arrived`);
  // Until the last ack, or until the last message was checked, whichever is later.
  return { messagesPerSecond: sent / Math.max(acked, got.seconds) };
}

async function measureWritten(scale: Scale): Promise<Measured> {
  const durationMs = scale.durationMs > TINY_MS ? scale.durationMs * SUSTAINED_FACTOR : scale.durationMs;
  return withBroker({ retentionBytes: KEPT_BYTES }, async (broker) => {
    await broker.connect().createTopic('bench', { partitions: 1, ringBytes: RING_BYTES });
    return publish(broker, 'written', { ...scale, durationMs });
  });
}

async function measureDurable(scale: Scale): Promise<Measured> {
  return withBroker({}, async (broker) => {
    const connection = broker.connect();
    await connection.createTopic('bench', { partitions: 1, ringBytes: RING_BYTES });
    const { messagesPerSecond } = await publish(broker, 'durable', scale);
    await connection.createTopic('steady', { partitions: 1, ringBytes: RING_BYTES });
    const half = await steady(broker, messagesPerSecond / 2, scale);
    const { latency } = await steady(broker, Math.min(STEADY_PER_SECOND, messagesPerSecond / 2), scale);
    const notes = {
      latencyAtPerSecond: Math.min(STEADY_PER_SECOND, Math.round(messagesPerSecond / 2)),
      halfLoadPerSecond: Math.round(messagesPerSecond / 2),
      halfLoadP50Us: Math.round(half.latency.p50Us),
      halfLoadP99Us: Math.round(half.latency.p99Us),
    };
    return { messagesPerSecond, latency, notes };
  });
}

/** Acknowledgements at a steady rate. */
async function steady(broker: Broker, perSecond: number, scale: Scale): Promise<DurableSenderResult> {
  const board = new SharedArrayBuffer(64);
  const sender = startThread(SENDER, { attachment: broker.attachment, topic: 'steady', perSecond, ...scale }, board);
  await sender.ready;
  go(board);
  return (await sender.result) as DurableSenderResult;
}

async function measureTopics(scale: Scale): Promise<Measured> {
  const isTiny = scale.durationMs <= TINY_MS;
  const many = isTiny ? TINY_TOPIC_COUNT : TOPIC_COUNT;
  const small = { perTurn: TURN, batchBytes: 4 * 1024, ringBytes: RING_BYTES_OF_MANY };
  // One topic at its best fills its batches.
  const best = { ...small, ringBytes: 4 * MIB };
  const one = await topics(1, best, scale);
  const all = await topics(many, small, scale);
  const large = { perTurn: LARGE_TURN, batchBytes: 16 * 1024, ringBytes: 4 * RING_BYTES_OF_MANY };
  const allLarge = await topics(many, large, scale);
  const oneLarge = await topics(1, { ...large, ringBytes: best.ringBytes }, scale);
  // What the ratio is made of: batches of a turn, as the many have them, and a ring that no cache holds, as all of
  // theirs together.
  const inTurns = await topics(1, { ...best, batchBytes: turnBytes(scale) }, scale);
  const cold = await topics(1, { ...best, ringBytes: isTiny ? MIB : 256 * MIB }, scale);
  const ofOne = (run: TopicsResult, base = one): number => Math.round((run.perSecond / base.perSecond) * 1000) / 1000;
  const notes = {
    topics: many,
    oneTopicPerSecond: Math.round(one.perSecond),
    ofOneTopic: ofOne(all),
    oneTopicInTurnsOfOneTopic: ofOne(inTurns),
    oneTopicColdOfOneTopic: ofOne(cold),
    largeTurnsPerSecond: Math.round(allLarge.perSecond),
    oneTopicLargeTurnsPerSecond: Math.round(oneLarge.perSecond),
    largeTurnsOfOneTopic: ofOne(allLarge, oneLarge),
    rssLargeTurnsMiB: Math.round(allLarge.rssBytes / MIB),
    rssMiB: Math.round(all.rssBytes / MIB),
    rssOneTopicMiB: Math.round(one.rssBytes / MIB),
  };
  return { messagesPerSecond: all.perSecond, notes };
}

/** Bytes of a batch that a turn fills. */
function turnBytes({ bodyBytes }: Scale): number {
  return BATCH_HEADER_BYTES + TURN * recordLength(bodyBytes, 0, 0, 0);
}

interface TopicsShape {
  readonly perTurn: number;
  readonly batchBytes: number;
  readonly ringBytes: number;
}

async function topics(count: number, shape: TopicsShape, scale: Scale): Promise<TopicsResult> {
  return withBroker({ ringBytes: shape.ringBytes, partitionsDefault: 1 }, async (broker) => {
    const board = new SharedArrayBuffer(64);
    const data = { attachment: broker.attachment, topics: count, ...shape, ...scale };
    const thread = startThread(TOPICS, data, board);
    await thread.ready;
    go(board);
    const result = (await thread.result) as TopicsResult;
    const routes = await broker.connect().topics();
    const stored = routes.flatMap((route) => route.partitions).reduce((sum, one) => sum + one.nextOffset, 0);
    check(stored === result.sent, `${stored} of ${result.sent} messages have an offset`);
    return result;
  });
}

async function measureCatchUp(scale: Scale): Promise<Measured> {
  return withBroker({}, async (broker) => {
    const sent = await fill(broker, 'bench', scale);
    const seconds = await readAll(broker, 'bench', sent, scale);
    return { messagesPerSecond: sent / seconds };
  });
}

/** Fills a log, forgets its indexes, and starts again. Bytes a second stand in the notes. */
function measureRecovery(scale: Scale): Promise<Measured> {
  return inBenchFolder(async (folder) => {
    let records = 0;
    {
      await using broker = await startBroker({ data: folder });
      records = await fill(broker, 'bench', scale);
    }
    const log = path.join(folder, 'log');
    for (const name of readdirSync(log)) if (/\.(idx|json)$/.test(name)) rmSync(path.join(log, name));
    const options = { ...settleStore({ data: folder }), data: folder, ringBytes: 4 * MIB };
    const began = performance.now();
    const store = await openStore(options, makeLog('silent'));
    const seconds = (performance.now() - began) / 1000;
    const { verifiedBytes, cutBytes } = store.recovery;
    store.release();
    check(cutBytes === 0 && verifiedBytes > 0, `${verifiedBytes} bytes verified, ${cutBytes} cut off`);
    const notes = {
      gigabytes: Math.round(verifiedBytes / 1e7) / 100,
      gigabytesPerSecond: Math.round(verifiedBytes / seconds / 1e7) / 100,
    };
    return { messagesPerSecond: records / seconds, notes };
  });
}

/** How fast a publisher is alone, and how fast beside a reader of history. */
async function measureBeside(scale: Scale): Promise<Measured> {
  return withBroker({}, async (broker) => {
    const connection = broker.connect();
    const sent = await fill(broker, 'bench', scale);
    for (const topic of ['alone', 'beside']) await connection.createTopic(topic, { partitions: 1 });
    const { perSecond: alone } = await publishOnly(broker, 'alone', scale);
    const reading = readAll(broker, 'bench', sent, scale);
    const { perSecond: beside } = await publishOnly(broker, 'beside', scale);
    const seconds = await reading;
    const notes = {
      publisherAlone: Math.round(alone),
      publisherBeside: Math.round(beside),
      ofAlone: Math.round((beside / alone) * 1000) / 1000,
    };
    return { messagesPerSecond: sent / seconds, notes };
  });
}

async function fill(broker: Broker, topic: string, scale: Scale): Promise<number> {
  await broker.connect().createTopic(topic, { partitions: 1, ringBytes: MIB });
  return (await publishOnly(broker, topic, scale)).sent;
}

/** One publisher and nobody who reads. */
async function publishOnly(broker: Broker, topic: string, scale: Scale): Promise<{ sent: number; perSecond: number }> {
  const board = new SharedArrayBuffer(64);
  const data = { attachment: broker.attachment, topic, mode: 'batches', partition: 0, ack: 'durable', ...scale };
  const writer = startThread(PRODUCER, data, board);
  await writer.ready;
  const began = performance.now();
  go(board);
  const sent = (await writer.result) as number;
  return { sent, perSecond: (sent * 1000) / (performance.now() - began) };
}

/** Seconds that a reader takes for `sent` messages from the beginning. */
async function readAll(broker: Broker, topic: string, sent: number, scale: Scale): Promise<number> {
  const board = new SharedArrayBuffer(64);
  const words = new Int32Array(board);
  Atomics.store(words, BOARD.sent, sent);
  Atomics.store(words, BOARD.producersDone, 1);
  const data = { attachment: broker.attachment, topic, producers: 1, bodyBytes: scale.bodyBytes };
  const got = (await startThread(CONSUMER, data, board).result) as ConsumerResult;
  check(got.wrong === 0 && got.received === sent, `${got.received} of ${sent}, ${got.wrong} wrong`);
  return got.seconds;
}

function go(board: SharedArrayBuffer): void {
  const words = new Int32Array(board);
  Atomics.store(words, BOARD.go, 1);
  Atomics.notify(words, BOARD.go);
}

export const durableBenches: readonly Bench[] = [
  {
    name: 'in-process-broker-written',
    what: 'through a broker worker, ack `written`, for a minute',
    peers: [],
    runsMax: SUSTAINED_RUNS_MAX,
    measure: measureWritten,
  },
  {
    name: 'durable',
    what: 'ack `durable` (on the disk); latency of acks at 2.5 M msg/s',
    peers: [redisStreams, natsJetStream],
    measure: measureDurable,
  },
  {
    name: 'topics-10k',
    what: '10,000 durable topics in turns, against one',
    peers: [],
    runsMax: SUSTAINED_RUNS_MAX,
    measure: measureTopics,
  },
  { name: 'catch-up', what: 'reading a durable topic from its beginning', peers: [], measure: measureCatchUp },
  {
    name: 'recovery',
    what: 'starting with a log without indexes: all of it is verified',
    peers: [],
    measure: measureRecovery,
  },
  { name: 'catch-up-beside', what: 'the same beside a publisher', peers: [], measure: measureBeside },
];
