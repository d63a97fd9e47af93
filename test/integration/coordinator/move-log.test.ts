// What was published by identity is found in the log of a broker that was killed and started again.
import { cpSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import type { CodeName } from '../../../src/base/codes.ts';
import { InProcessConnection } from '../../../src/client/in-process.ts';
import { ConnectionMoveLog } from '../../../src/coordinator/move-log.ts';
import { dataFolder, startTestBroker } from '../../support/engine.ts';
import { payloadOf } from '../../support/move-world.ts';

const PRODUCER = 7;
/** Messages of others, more than a ring has. */
const MORE = 20;

function publish(connection: InProcessConnection, sequence: number): Promise<[CodeName, number]> {
  const bytes = payloadOf([`moved ${sequence}`]);
  return new Promise((resolve) => {
    const producer = connection.fixedProducer('orders');
    const batch = { bytes, count: 1, partition: 0, producerId: PRODUCER, sequence };
    producer.publish(batch, (...answer) => resolve(answer));
  });
}

test('what was published before is found by its identity', async () => {
  const data = dataFolder();
  const broker = await startTestBroker({ data });
  const before = new InProcessConnection(broker.attachment);
  await before.createTopic('orders', { partitions: 1, ringBytes: 16 * 1024, durable: true });
  const others = before.producer<Uint8Array>('orders');
  await others.send(new Uint8Array(100));
  expect(await publish(before, 0)).toEqual(['ok', 1]);
  expect(await publish(before, 1)).toEqual(['ok', 2]);
  for (let i = 0; i < MORE; i++) await others.send(new Uint8Array(2_000));

  // As kill -9 leaves it.
  const killed = dataFolder();
  cpSync(data, killed, { recursive: true });
  rmSync(join(killed, 'LOCK'), { recursive: true });
  const after = new InProcessConnection((await startTestBroker({ data: killed })).attachment);
  const log = new ConnectionMoveLog(after);
  const names = new Set([`${PRODUCER}/0`, `${PRODUCER}/1`, `${PRODUCER}/2`]);
  const all = new Map([
    [`${PRODUCER}/0`, 1],
    [`${PRODUCER}/1`, 2],
  ]);
  expect(await log.find('orders', 0, 0, names)).toEqual(all);
  expect(await log.find('orders', 0, 2, names)).toEqual(new Map([...all].slice(1)));
  expect(await log.find('orders', 0, 3, names)).toEqual(new Map());
  const { partitions } = await after.route('orders');
  expect(log.nextOffset(partitions[0])).toBe(MORE + 3);
  await before.close();
  await after.close();
});
