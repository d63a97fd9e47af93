// A bench thread that is a member of a group, or reads the same partitions broadcasting, and checks every message. In
// process it owns its thread and lets its event loop turn now and then: calls to the coordinator need that.
import { setTimeout as sleep, setImmediate as turn } from 'node:timers/promises';
import { type Attachment, attach, type Batch, type ConsumerOptions, connect } from '../../../src/index.ts';
import { Checker } from '../../support/payload.ts';
import { BOARD, isCounted } from '../../support/threads.ts';
import type { ConsumerResult } from './in-process-consumer.ts';

export interface GroupData {
  /** In process; else over WebSocket. */
  readonly attachment?: Attachment;
  readonly url?: string;
  readonly topic: string;
  readonly bodyBytes: number;
  /** Partitions of the topic, each with a producer of its own. */
  readonly producers: number;
  /** Undefined: broadcasting. */
  readonly group?: string;
  /** Members of the group, or readers that share the partitions by number; and which of them this is. */
  readonly members: number;
  readonly member: number;
}

/** Polls between two turns of the event loop. */
const POLLS_PER_TURN = 64;

export async function run(data: GroupData, board: Int32Array, ready: () => void): Promise<ConsumerResult> {
  const checker = new Checker(data.producers, data.bodyBytes);
  let first = 0;
  let last = 0;
  const onBatch = (batch: Batch): void => {
    if (first === 0 && isCounted(board, Atomics.load(board, BOARD.received))) first = performance.now();
    const before = checker.received;
    while (batch.next()) checker.take(batch.partition, batch);
    Atomics.add(board, BOARD.received, checker.received - before);
    last = performance.now();
  };
  const share = Math.floor(data.producers / data.members);
  const own = Array.from({ length: share }, (_, i) => data.member * share + i);
  const options: ConsumerOptions =
    data.group === undefined
      ? { from: 'earliest', onBatch, partitions: own }
      : { from: 'earliest', onBatch, group: data.group };
  const isOver = (): boolean =>
    Atomics.load(board, BOARD.producersDone) === data.producers &&
    Atomics.load(board, BOARD.received) >= Atomics.load(board, BOARD.sent);
  const local = data.attachment && attach(data.attachment);
  const connection = local ?? connect(data.url ?? '');
  const consumer = connection.consumer(data.topic, options);
  await consumer.ready();
  while (consumer.positions().length !== share) await sleep(5);
  ready();
  while (!isOver()) {
    if (!local) {
      await sleep(1);
      continue;
    }
    for (let i = 0; i < POLLS_PER_TURN && !isOver(); i++) if (local.poll() === 0) local.wait(5);
    await turn();
  }
  await connection.close();
  return { received: checker.received, wrong: checker.wrong, seconds: (last - first) / 1000 };
}
