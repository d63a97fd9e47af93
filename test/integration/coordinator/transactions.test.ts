// Transactions on a real broker: what is committed comes once, what is rolled back never, and what nobody resolves is
// asked about.
import { expect, test } from 'vitest';
import type { Message } from '../../../src/client/message.ts';
import type { TransactionFate } from '../../../src/client/messaging.ts';
import { MemoryDisk } from '../../../src/log/disk-memory.ts';
import { CHECK_RULES } from '../../../src/transaction/half-table.ts';
import { HALF_DROPPED_TOPIC, HALF_TOPIC } from '../../../src/wire/services.ts';
import { DeskRig } from '../../support/desk-rig.ts';
import { dataFolder, errorOf, listen, startTestBroker } from '../../support/engine.ts';
import { FaultDisk } from '../../support/fault-disk.ts';
import { until } from '../../support/until.ts';

const QUICK = { immunityMs: 50, intervalMs: 100, checksMax: 3 };

const unknown = (): TransactionFate => 'unknown';
/** A check that writes down what it was asked. */
function said(list: string[], text: string, fate: TransactionFate): TransactionFate {
  list.push(text);
  return fate;
}

const texts = (messages: readonly Message[]): string[] => messages.map((one) => one.text()).sort();

test('a message is invisible until it is committed, and then as its sender made it', async () => {
  const broker = await startTestBroker();
  const rig = new DeskRig(broker);
  const heard = await listen(broker.connect(), 'orders');
  const producer = rig.transactional('orders', { group: 'g', check: unknown });
  const extras = { key: 'k', tag: 'red', properties: { a: '1' } };
  const transaction = await producer.begin('one', extras);
  expect(heard).toEqual([]);
  const receipt = await transaction.commit({ receipt: true });
  await until(() => heard.length === 1, 'the message comes');
  const [message] = heard;
  expect([message.text(), message.key, message.tag, { ...message.properties }]).toEqual([
    'one',
    'k',
    'red',
    { a: '1' },
  ]);
  expect(receipt).toEqual({ topic: 'orders', partition: message.partition, offset: message.offset, id: message.id });
});

test('the same resolution again gets the same answer, the other one is refused', async () => {
  const broker = await startTestBroker();
  const rig = new DeskRig(broker);
  const heard = await listen(broker.connect(), 'orders');
  const producer = rig.transactional('orders', { group: 'g', check: unknown });
  const committed = await producer.begin('one');
  const asked = [committed.commit(), committed.commit({ receipt: true }), committed.commit({ receipt: true })] as const;
  const receipts = await Promise.all(asked);
  expect(receipts[0]).toBeUndefined();
  expect(receipts[1]).toMatchObject({ topic: 'orders', offset: 0 });
  expect(receipts[2]).toEqual(receipts[1]);
  expect(await committed.commit()).toBeUndefined();
  expect(await committed.commit({ receipt: true })).toEqual(receipts[1]);
  expect(await errorOf(committed.rollback())).toMatchObject({ code: 'transaction-ended' });
  const rolledBack = await producer.begin('two');
  await rolledBack.rollback();
  await rolledBack.rollback();
  expect(await errorOf(rolledBack.commit())).toMatchObject({ code: 'transaction-ended' });
  await producer.send('three', () => {});
  await until(() => heard.length === 2, 'both come');
  expect(texts(heard)).toEqual(['one', 'three']);
});

test.each(['', 'nonsense', '000000010000000000000099', 'FFFFFFFF0000000000000001'])(
  'a transaction that never was (%j) is unknown',
  async (transaction) => {
    const rig = new DeskRig(await startTestBroker());
    const producer = rig.transactional('orders', { group: 'g', check: unknown });
    await producer.begin('one');
    const ends = { commits: [transaction], rollbacks: [transaction], receipts: true, own: false };
    const { result } = await rig.call('transaction-end', ends);
    const unknowns = ['unknown-transaction'];
    expect(result).toEqual({ commits: unknowns, rollbacks: unknowns, places: [-1, -1] });
  },
);

test('bad messages are refused one by one', async () => {
  const rig = new DeskRig(await startTestBroker());
  const producer = rig.transactional('orders', { group: 'g', check: unknown });
  const bad = errorOf(producer.begin('x', { tag: 'a|b' }));
  const good = producer.begin('y');
  expect(await bad).toMatchObject({ code: 'illegal-tag' });
  expect((await good).id).toHaveLength(24);
  expect(await errorOf(producer.begin('x'.repeat(100_000)))).toMatchObject({ code: 'message-too-large' });
  const reserved = rig.transactional('RMQ_SYS_TIMER', { group: 'g', check: unknown });
  expect(await errorOf(reserved.begin('x'))).toMatchObject({ code: 'no-write-permission' });
  const payload = new Uint8Array(64);
  const call = rig.call('transaction-prepare', { topic: 'orders', producerGroup: 'g' }, { payload });
  expect(await errorOf(call)).toMatchObject({ code: 'malformed-batch' });
});

test('send() commits when the work is done, and rolls back what it throws', async () => {
  const broker = await startTestBroker();
  const rig = new DeskRig(broker);
  const heard = await listen(broker.connect(), 'orders');
  const producer = rig.transactional('orders', { group: 'g', check: unknown });
  expect(await producer.send('one', async () => 42)).toBe(42);
  const failing = producer.send('two', () => {
    throw new Error('no money');
  });
  expect(await errorOf(failing)).toMatchObject({ message: 'no money' });
  await producer.send('three', () => {});
  await until(() => heard.length === 2, 'both come');
  expect(texts(heard)).toEqual(['one', 'three']);
});

test('a topic that is gone leaves the transaction open', async () => {
  const broker = await startTestBroker();
  const rig = new DeskRig(broker);
  const producer = rig.transactional('orders', { group: 'g', check: unknown });
  const transaction = await producer.begin('one');
  await rig.connection.deleteTopic('orders');
  expect(await errorOf(transaction.commit())).toMatchObject({ code: 'unknown-topic' });
  await rig.connection.createTopic('orders');
  expect((await transaction.commit({ receipt: true })).offset).toBe(0);
});

test('another producer of the group answers for one that is gone', async () => {
  const broker = await startTestBroker();
  const rig = new DeskRig(broker, undefined, { rules: QUICK });
  const heard = await listen(broker.connect(), 'orders');
  const first = rig.transactional('orders', { group: 'g', check: unknown }, 11);
  await first.begin('kept', { key: 'order-1' });
  await first.begin('left', { key: 'order-2' });
  await first.close();
  rig.seatLeft(11);
  const others: string[] = [];
  rig.transactional('orders', { group: 'other', check: (message) => said(others, message.text(), 'commit') });
  rig.transactional('orders', { group: 'g', check: ({ key }) => (key === 'order-1' ? 'commit' : 'rollback') });
  await until(() => heard.length === 1 && rig.transactions.pending === 0, 'both are resolved');
  expect([texts(heard), others]).toEqual([['kept'], []]);
  expect(heard[0].key).toBe('order-1');
});

test('what nobody can say anything about is given up after the last check, and kept for people', async () => {
  const broker = await startTestBroker();
  const rig = new DeskRig(broker, undefined, { rules: QUICK });
  const checks: string[] = [];
  const producer = rig.transactional('orders', { group: 'g', check: ({ topic }) => said(checks, topic, 'unknown') });
  const transaction = await producer.begin('lost', { properties: { a: '1' } });
  await until(() => rig.warnings.some((text) => text.includes(transaction.id)), 'it is given up');
  expect(checks).toEqual(Array.from({ length: QUICK.checksMax }, () => 'orders'));
  const [dropped] = await (async () => {
    const heard = await listen(broker.connect(), HALF_DROPPED_TOPIC);
    await until(() => heard.length > 0, 'it is kept');
    return heard;
  })();
  expect(dropped.text()).toBe('lost');
  expect({ ...dropped.properties }).toEqual({ a: '1', REAL_TOPIC: 'orders', PGROUP: 'g' });
  expect(await errorOf(transaction.commit())).toMatchObject({ code: 'unknown-transaction' });
});

test('what is given up is kept for people also without room for the properties of the broker', async () => {
  const broker = await startTestBroker();
  const rig = new DeskRig(broker, undefined, { rules: QUICK });
  await rig.connection.createTopic('orders', { ringBytes: 1024 * 1024 });
  const producer = rig.transactional('orders', { group: 'g', check: unknown });
  await producer.begin('full', { properties: { a: 'x'.repeat(32_700) } });
  await until(() => rig.transactions.pending === 0, 'it is given up');
  const heard = await listen(broker.connect(), HALF_DROPPED_TOPIC);
  await until(() => heard.length === 1, 'it is kept');
  expect({ ...heard[0].properties }).toEqual({ REAL_TOPIC: 'orders', PGROUP: 'g' });
});

test('half messages of a topic that was deleted are not taken for those that have their places now', async () => {
  const broker = await startTestBroker();
  const rig = new DeskRig(broker);
  const heard = await listen(broker.connect(), 'orders');
  const producer = rig.transactional('orders', { group: 'g', check: unknown });
  const before = await producer.begin('before');
  await rig.connection.deleteTopic(HALF_TOPIC);
  expect(await errorOf(producer.begin('refused'))).toMatchObject({ code: 'unknown-topic' });
  const after = await producer.begin('after');
  expect(await errorOf(before.commit())).toMatchObject({ code: 'unknown-transaction' });
  await after.commit();
  await until(() => heard.length === 1, 'it comes');
  expect(texts(heard)).toEqual(['after']);
});

test('more transactions than may be open are refused with how many that is', async () => {
  const rig = new DeskRig(await startTestBroker(), undefined, { rules: { ...CHECK_RULES, pendingMax: 2 } });
  const producer = rig.transactional('orders', { group: 'g', check: unknown });
  const first = await producer.begin('one');
  await producer.begin('two');
  const refusal = { code: 'buffer-full', message: expect.stringContaining('2 transactions are open') };
  expect(await errorOf(producer.begin('three'))).toMatchObject(refusal);
  await first.rollback();
  await producer.begin('four');
});

test('after a restart transactions go on, and outcomes are remembered', async () => {
  const broker = await startTestBroker({ data: dataFolder() });
  const disk = new MemoryDisk();
  const first = new DeskRig(broker, disk, { durable: true });
  const heard = await listen(broker.connect(), 'orders');
  const producer = first.transactional('orders', { group: 'g', check: unknown });
  const committed = await producer.begin('one');
  const receipt = await committed.commit({ receipt: true });
  const rolledBack = await producer.begin('two');
  await rolledBack.rollback();
  const open = await producer.begin('three', { key: 'k' });
  await first.kill();
  const second = new DeskRig(broker, disk, { durable: true });
  const commits = [committed, rolledBack, open].map(({ id }) => id);
  const { result } = await second.call('transaction-end', { commits, rollbacks: [], receipts: true, own: true });
  expect(result.commits).toEqual(['ok', 'transaction-ended', 'ok']);
  expect(result.places?.slice(0, 2)).toEqual([receipt.partition, receipt.offset]);
  await until(() => heard.length === 2, 'both come');
  expect(texts(heard)).toEqual(['one', 'three']);
  expect(second.transactions.pending).toBe(0);
});

test('the disk dies at any call: what was committed comes once, what was rolled back never', async () => {
  const broker = await startTestBroker({ data: dataFolder() });
  for (let at = 1; at <= 16; at++) {
    const topic = `crash-${at}`;
    const heard = await listen(broker.connect(), topic);
    const disk = new FaultDisk();
    const first = new DeskRig(broker, disk, { durable: true });
    const producer = first.transactional(topic, { group: `g-${at}`, check: unknown });
    const begun = await Promise.all(Array.from({ length: 6 }, (_, i) => producer.begin(`m${i}`, { key: `k${i}` })));
    disk.calls = 0;
    disk.plan = { at, code: 'EIO', forever: true };
    const ends = begun.map(({ id }, i) => {
      const [commits, rollbacks] = i % 3 === 2 ? [[], [id]] : [[id], []];
      return { commits, rollbacks, receipts: i % 2 === 0, own: true };
    });
    for (const end of ends) {
      const answer = first.call('transaction-end', end).catch(() => {});
      await Promise.race([answer, new Promise((resolve) => setTimeout(resolve, 300).unref())]);
    }
    const left = disk.killed();
    await first.kill();
    const second = new DeskRig(broker, left, { durable: true });
    for (const end of ends) {
      const { result } = await second.call('transaction-end', end);
      expect([...result.commits, ...result.rollbacks], `call ${at}`).toEqual(['ok']);
    }
    const wanted = ends.flatMap(({ commits }, i) => (commits.length > 0 ? [`m${i}`] : []));
    await until(() => heard.length >= wanted.length, `call ${at}: all come`);
    await second.connection.producer(topic, { partition: 0 }).send('end');
    await until(() => heard.some((one) => one.text() === 'end'), 'the end comes');
    expect(texts(heard), `call ${at}`).toEqual(['end', ...wanted]);
    await second.stop();
  }
});
