// A bench thread with one or many WebSocket connections that all get every message. The first connection checks every
// message; the others check that every batch follows the one before.
import { setTimeout as sleep } from 'node:timers/promises';
import { type Batch, connect } from '../../../src/index.ts';
import { Checker } from '../../support/payload.ts';
import { BOARD, isCounted } from '../../support/threads.ts';
import type { ConsumerResult } from './in-process-consumer.ts';
import type { WsData } from './ws-publisher.ts';

export async function run(data: WsData, board: Int32Array, ready: () => void): Promise<ConsumerResult> {
  const checker = new Checker(1, data.bodyBytes);
  let counted = 0;
  let wrong = 0;
  let first = 0;
  const checkAll = (batch: Batch): void => {
    if (first === 0 && isCounted(board, checker.received)) first = performance.now();
    while (batch.next()) checker.take(0, batch);
  };
  const connections = Array.from({ length: data.connections }, () =>
    connect(data.url, { verifyChecksums: data.connections === 1 }),
  );
  for (const [i, connection] of connections.entries()) {
    let next = 0;
    const checkOrder = (batch: Batch): void => {
      if (batch.next() && batch.offset !== next) wrong++;
      next += batch.count;
      counted += batch.count;
    };
    await connection.consumer(data.topic, { from: 'earliest', onBatch: i === 0 ? checkAll : checkOrder }).ready();
  }
  ready();
  const received = (): number => checker.received + counted;
  while (
    Atomics.load(board, BOARD.producersDone) === 0 ||
    received() < Atomics.load(board, BOARD.sent) * data.connections
  ) {
    await sleep(1);
  }
  const seconds = (performance.now() - first) / 1000;
  await Promise.all(connections.map((connection) => connection.close()));
  return { received: received(), wrong: wrong + checker.wrong, seconds };
}
