// A commit is answered when it is decided: what comes between that and its message in the topic holds it up, and takes
// it back never.
import { expect, test } from 'vitest';
import type { Transaction, TransactionFate } from '../../../src/client/messaging.ts';
import { MemoryDisk } from '../../../src/log/disk-memory.ts';
import { DeskRig } from '../../support/desk-rig.ts';
import { dataFolder, errorOf, kill, listen, startConnected, startTestBroker } from '../../support/engine.ts';
import { until, untilAnswer } from '../../support/until.ts';

const unknown = (): TransactionFate => 'unknown';

/** Transactions of a topic that takes nothing for now. */
async function held(bodies: readonly string[]) {
  const broker = await startTestBroker({ data: dataFolder() });
  const disk = new MemoryDisk();
  const rig = new DeskRig(broker, disk, { durable: true });
  const operator = broker.connect();
  await operator.createTopic('orders', { partitions: 1, ringBytes: 1024 * 1024 });
  const heard = await listen(operator, 'orders');
  const producer = rig.transactional('orders', { group: 'g', check: unknown });
  const open: Transaction[] = [];
  for (const body of bodies) open.push(await producer.begin(body));
  await operator.setPermission('orders', 'r');
  return { broker, disk, rig, operator, heard, open, producer };
}

test('while the topic takes nothing, and its messages come once when it does', async () => {
  const { operator, heard, open } = await held(['one', 'two']);
  await Promise.all(open.map((one) => one.commit()));
  await open[0].commit();
  expect(await errorOf(open[1].rollback())).toMatchObject({ code: 'transaction-ended' });
  const receipt = open[0].commit({ receipt: true });
  expect(heard).toEqual([]);
  await operator.setPermission('orders', 'rw');
  expect(await receipt).toMatchObject({ topic: 'orders', partition: 0 });
  await until(() => heard.length === 2, 'both come');
  expect(heard.map(({ id }) => id)).toContain((await receipt).id);
});

test('the coordinator dies before the message is in its topic: its successor brings it, once', async () => {
  const { broker, disk, rig, operator, heard, open } = await held(['one', 'two', 'three']);
  await open[0].commit();
  await open[1].commit();
  await rig.kill();
  const second = new DeskRig(broker, disk, { durable: true });
  const ends = { commits: open.map(({ id }) => id), rollbacks: [], receipts: false, own: true };
  expect((await second.call('transaction-end', ends)).result.commits).toEqual(['ok', 'ok', 'ok']);
  expect(heard).toEqual([]);
  await operator.setPermission('orders', 'rw');
  await until(() => heard.length === 3, 'all come');
  await operator.producer('orders').send('end');
  await until(() => heard.some((one) => one.text() === 'end'), 'the end comes');
  expect(heard.map((one) => one.text()).sort()).toEqual(['end', 'one', 'three', 'two']);
});

test('the topic is deleted first: the commit stays one, and people are told', async () => {
  const { broker, disk, rig, operator, open } = await held(['one']);
  await open[0].commit();
  await operator.deleteTopic('orders');
  await until(() => rig.warnings.some((text) => text.includes(open[0].id)), 'it is told');
  await open[0].commit();
  expect(await open[0].commit({ receipt: true })).toMatchObject({ partition: -1, offset: -1, id: '' });
  expect(await errorOf(open[0].rollback())).toMatchObject({ code: 'transaction-ended' });
  await rig.kill();
  const second = new DeskRig(broker, disk, { durable: true });
  const ends = { commits: [open[0].id], rollbacks: [open[0].id], receipts: false, own: true };
  const { result } = await second.call('transaction-end', ends);
  expect(result).toEqual({ commits: ['ok'], rollbacks: ['transaction-ended'] });
});

test('commits to a topic that takes nothing do not pile up, and never hold up those to others', async () => {
  const bodies = Array.from({ length: 60 }, (_, i) => `${i} ${'x'.repeat(99_000)}`);
  const { rig, operator, heard, open } = await held(bodies);
  const slow = Symbol('slow');
  const all: Promise<void>[] = [];
  for (const one of open) {
    all.push(one.commit());
    const late = new Promise<symbol>((resolve) => setTimeout(resolve, 1_000, slow).unref());
    if ((await Promise.race([all.at(-1), late])) === slow) break;
  }
  // 4 MiB are on their way.
  expect(all.length).toBeGreaterThan(35);
  expect(all.length).toBeLessThan(50);
  await operator.createTopic('others');
  const others = await listen(operator, 'others');
  await rig.transactional('others', { group: 'g', check: unknown }).send('free', () => {});
  await until(() => others.length === 1, 'the other one comes');
  await operator.setPermission('orders', 'rw');
  await Promise.all([...all, ...open.slice(all.length).map((one) => one.commit())]);
  await until(() => heard.length === 60, 'all come');
});

/** A half message is not sent again by itself. */
function begun(begins: readonly (() => Promise<Transaction>)[]): Promise<readonly Transaction[]> {
  const insist = async (begin: () => Promise<Transaction>): Promise<Transaction> => {
    const isGood = (one: Transaction | undefined): boolean => one !== undefined;
    return (await untilAnswer(() => begin().catch(() => undefined), isGood, 'it is begun', 20_000)) as Transaction;
  };
  return Promise.all(begins.map(insist));
}

test('the thread of the coordinator dies right after answers: what was answered comes, once', async () => {
  const { broker, connection } = await startConnected({ data: dataFolder() });
  await connection.createTopic('orders');
  const heard = await listen(connection, 'orders');
  const producer = connection.transactionalProducer<string>('orders', { group: 'g', check: unknown });
  const committed: string[] = [];
  for (let round = 0; round < 4; round++) {
    const open = await begun(Array.from({ length: 20 }, (_, i) => () => producer.begin(`${round}-${i}`)));
    const ends = open.map((one, i) => one.commit().then(() => committed.push(`${round}-${i}`)));
    await Promise.race(ends);
    await kill(broker, 'coordinator');
    await Promise.all(ends);
  }
  expect(committed).toHaveLength(80);
  await until(() => heard.length >= 80, 'all come', 20_000);
  await connection.producer('orders').send('end');
  await until(() => heard.some((one) => one.text() === 'end'), 'the end comes');
  expect(heard.map((one) => one.text()).sort()).toEqual(['end', ...committed].sort());
  await producer.close();
}, 60_000);
