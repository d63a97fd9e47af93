// One thread that publishes to many topics in turns, and waits until all is durable.
import { type Attachment, attach } from '../../../src/index.ts';
import { WARM_UP } from '../../support/bench.ts';
import { Payload } from '../../support/payload.ts';
import { BOARD } from '../../support/threads.ts';

export interface TopicsData {
  readonly attachment: Attachment;
  readonly topics: number;
  readonly bodyBytes: number;
  readonly durationMs: number;
  /** Messages for one topic before the next has its turn: a batch of a program that serves many. */
  readonly perTurn: number;
  readonly batchBytes: number;
}

export interface TopicsResult {
  /** Messages in all, those that were not measured included. */
  readonly sent: number;
  readonly perSecond: number;
  readonly rssBytes: number;
}

const CREATING_MAX = 64;

export async function run(data: TopicsData, board: Int32Array, ready: () => void): Promise<TopicsResult> {
  const connection = attach(data.attachment);
  const names = Array.from({ length: data.topics }, (_, n) => `topic-${n}`);
  for (let at = 0; at < names.length; at += CREATING_MAX) {
    await Promise.all(
      names.slice(at, at + CREATING_MAX).map((name) => connection.createTopic(name, { partitions: 1 })),
    );
  }
  const producers = names.map((name) =>
    connection.producer(name, { ack: 'durable', batchBytes: data.batchBytes, timeoutMs: 120_000 }),
  );
  for (const producer of producers) await producer.ready();
  const payload = new Payload(data.bodyBytes);
  const publish = async (durationMs: number): Promise<number> => {
    const end = performance.now() + durationMs;
    let sent = 0;
    while (performance.now() < end) {
      for (const producer of producers) {
        for (let i = 0; i < data.perTurn; i++) {
          while (!producer.trySend(payload.of(sent))) connection.wait(10);
          sent++;
        }
        if ((sent & 0x3ff) === 0) {
          connection.poll();
          if (performance.now() >= end) break;
        }
      }
    }
    await Promise.all(producers.map((producer) => producer.flush()));
    return sent;
  };
  // What is measured is the state with all rings open, their memory touched and the code compiled.
  const before = await publish(data.durationMs * WARM_UP);
  ready();
  Atomics.wait(board, BOARD.go, 0);
  const began = performance.now();
  const sent = await publish(data.durationMs);
  const perSecond = (sent * 1000) / (performance.now() - began);
  const rssBytes = process.memoryUsage.rss();
  await connection.close();
  return { sent: before + sent, perSecond, rssBytes };
}
