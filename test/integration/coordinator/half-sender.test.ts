// Producers beside a durable broker store half messages by themselves: the coordinator learns of each of them all the
// same, whoever dies.
import { expect, test, vi } from 'vitest';
import type { InProcessConnection } from '../../../src/client/in-process.ts';
import type { Message } from '../../../src/client/message.ts';
import type { Transaction, TransactionalProducer, TransactionFate } from '../../../src/client/messaging.ts';
import { OP_MS } from '../../../src/transaction/op-message.ts';
import { dataFolder, errorOf, kill, startConnected } from '../../support/engine.ts';
import { until } from '../../support/until.ts';

const RULES = { transactionTimeoutMs: 100, transactionCheckMs: 100, transactionChecksMax: 50 };

function producerOf(connection: InProcessConnection, check: (half: Message) => TransactionFate = () => 'unknown') {
  return connection.transactionalProducer<string>('orders', { group: 'g', check: check as never });
}

/** A half message that the coordinator was not asked to store. */
async function beginAlone(
  connection: InProcessConnection,
  producer: TransactionalProducer<string>,
  body: string,
): Promise<Transaction> {
  const call = vi.spyOn(connection, 'call');
  const prepares = (): number => call.mock.calls.filter(([method]) => method === 'transaction-prepare').length;
  try {
    for (let tries = 0; tries < 1_000; tries++) {
      const before = prepares();
      const transaction = await producer.begin(body, { key: 'k', properties: { a: '1' } });
      if (prepares() === before) return transaction;
      await transaction.rollback();
    }
    throw new Error('the coordinator stored every half message');
  } finally {
    call.mockRestore();
  }
}

async function heardBy(connection: InProcessConnection): Promise<Message[]> {
  const heard: Message[] = [];
  await connection.consumer('orders', { from: 'earliest', onMessage: (one) => void heard.push(one) }).ready();
  return heard;
}

test('what is committed comes as it was sent, what is rolled back does not', async () => {
  const { connection } = await startConnected({ data: dataFolder() });
  await connection.createTopic('orders');
  const heard = await heardBy(connection);
  const producer = producerOf(connection);
  const call = vi.spyOn(connection, 'call');
  const receipts = await Promise.all(
    Array.from({ length: 20 }, async (_, line) => {
      const committed: string[] = [];
      for (let i = 0; i < 20; i++) {
        const transaction = await producer.begin(`${line}.${i}`, { tag: 't' });
        if (i % 2 === 0) committed.push((await transaction.commit({ receipt: true })).id);
        else await transaction.rollback();
      }
      return committed;
    }),
  );
  await until(() => heard.length >= 200, 'all that is committed comes');
  expect(heard.map(({ id }) => id).sort()).toEqual(receipts.flat().sort());
  expect(heard.every((one) => Number(one.text().split('.')[1]) % 2 === 0 && one.tag === 't')).toBe(true);
  const prepared = call.mock.calls.filter(([method]) => method === 'transaction-prepare').length;
  expect(prepared).toBeLessThan(100);
});

test('producers of the group are asked about one whose producer is gone', async () => {
  const { broker, connection } = await startConnected({ data: dataFolder(), ...RULES });
  await connection.createTopic('orders');
  const heard = await heardBy(connection);
  const other = broker.connect();
  await beginAlone(other, producerOf(other), 'orphan');
  await other.close();
  const asked: string[] = [];
  producerOf(connection, (half) => {
    asked.push(`${half.topic} ${half.text()} ${half.key} ${half.properties?.a}`);
    return 'commit';
  });
  await until(() => heard.length > 0, 'the orphan is committed');
  expect(asked).toContain('orders orphan k 1');
  expect(heard.map((one) => one.text())).toEqual(['orphan']);
});

test('the coordinator dies before the commit: its successor has read the half message', async () => {
  const { broker, connection } = await startConnected({ data: dataFolder() });
  await connection.createTopic('orders');
  const heard = await heardBy(connection);
  const producer = producerOf(connection);
  const transaction = await beginAlone(connection, producer, 'one');
  await kill(broker, 'coordinator');
  const receipt = await transaction.commit({ receipt: true });
  await until(() => heard.length === 1, 'it comes');
  expect([heard[0].text(), heard[0].id]).toEqual(['one', receipt.id]);
  expect(await transaction.commit({ receipt: true })).toEqual(receipt);
});

test('the broker is started again before the commit', async () => {
  const data = dataFolder();
  const { broker, connection } = await startConnected({ data });
  await connection.createTopic('orders');
  const { id } = await beginAlone(connection, producerOf(connection), 'one');
  await connection.close();
  await broker.stop();
  const { connection: later } = await startConnected({ data });
  const { result } = await later.call('transaction-end', { commits: [id], rollbacks: [], receipts: true, own: false });
  expect(result).toMatchObject({ commits: ['ok'], places: [expect.any(Number), 0] });
  const heard = await heardBy(later);
  await until(() => heard.length === 1, 'it comes');
  expect(heard[0].text()).toBe('one');
});

test('a broker without data has every half message stored by its coordinator', async () => {
  const { connection } = await startConnected();
  await connection.createTopic('orders');
  const call = vi.spyOn(connection, 'call');
  const producer = producerOf(connection);
  for (let i = 0; i < 5; i++) await (await producer.begin('x')).rollback();
  expect(call.mock.calls.filter(([method]) => method === 'transaction-prepare')).toHaveLength(5);
});

/** Ends a transaction as somebody else would, who knows its name. */
function endElsewhere(connection: InProcessConnection, { id }: Transaction, commits: boolean) {
  const [names, none] = [[id], []];
  const ends = commits ? { commits: names, rollbacks: none } : { commits: none, rollbacks: names };
  return connection.call('transaction-end', { ...ends, receipts: false, own: false });
}

/** Half messages whose commits need no call: the coordinator has just been asked about another one. */
async function beginMany(connection: InProcessConnection, bodies: readonly string[]) {
  const producer = producerOf(connection);
  await (await producer.begin('first')).commit();
  const open = await Promise.all(bodies.map((body) => producer.begin(body)));
  return { producer, open };
}

test('commits come once without a call each, and what somebody else asks for then is too late', async () => {
  const { broker, connection } = await startConnected({ data: dataFolder() });
  await connection.createTopic('orders');
  const heard = await heardBy(connection);
  const bodies = Array.from({ length: 400 }, (_, i) => `m${i}`);
  const { open } = await beginMany(connection, bodies);
  const call = vi.spyOn(connection, 'call');
  await Promise.all(open.map((one) => one.commit()));
  expect(call.mock.calls.filter(([method]) => method === 'transaction-end')).toHaveLength(0);
  const other = broker.connect();
  expect((await endElsewhere(other, open[0], false)).result.rollbacks).toEqual(['transaction-ended']);
  expect((await endElsewhere(other, open[1], true)).result.commits).toEqual(['ok']);
  await until(() => heard.length > bodies.length, 'all come');
  expect(heard.map((one) => one.text()).sort()).toEqual(['first', ...bodies].sort());
});

test('who else would end a transaction waits until its producer could not do it alone any more', async () => {
  const { broker, connection } = await startConnected({ data: dataFolder() });
  await connection.createTopic('orders');
  const heard = await heardBy(connection);
  const { open } = await beginMany(connection, ['one', 'two']);
  const other = broker.connect();
  const begun = performance.now();
  const elsewhere = [endElsewhere(other, open[0], false), endElsewhere(other, open[1], false)];
  await open[0].commit();
  const [first, second] = await Promise.all(elsewhere);
  expect(performance.now() - begun).toBeGreaterThan(OP_MS / 2);
  expect([first.result.rollbacks, second.result.rollbacks]).toEqual([['transaction-ended'], ['ok']]);
  expect(await errorOf(open[1].commit())).toMatchObject({ code: 'transaction-ended' });
  await until(() => heard.length === 2, 'what was committed comes');
  expect(heard.map((one) => one.text()).sort()).toEqual(['first', 'one']);
});

test.each(['coordinator', 'store'] as const)(
  'the %s dies again and again: each commit comes once',
  async (thread) => {
    const { broker, connection } = await startConnected({ data: dataFolder() });
    await connection.createTopic('orders');
    const heard = await heardBy(connection);
    const committed = ['first'];
    const producer = producerOf(connection);
    await (await producer.begin('first')).commit();
    let isOver = false;
    const lines = Array.from({ length: 16 }, async (_, line) => {
      for (let i = 0; !isOver; i++) {
        // A half message that was perhaps stored is not sent again.
        const transaction = await producer.begin(`${line}.${i}`).catch(() => undefined);
        if (transaction) await transaction.commit().then(() => committed.push(`${line}.${i}`));
      }
    });
    for (let kills = 0; kills < 3; kills++) {
      const before = committed.length;
      await until(() => committed.length > before + 500, 'it goes on', 20_000);
      await kill(broker, thread);
    }
    isOver = true;
    await Promise.all(lines);
    await until(() => heard.length >= committed.length, 'all come', 20_000);
    await connection.producer('orders').send('end');
    await until(() => heard.some((one) => one.text() === 'end'), 'the end comes');
    expect(heard.map((one) => one.text()).sort()).toEqual([...committed, 'end'].sort());
  },
  90_000,
);

test('the process ends before anybody has read the commits: they come with the next start, once', async () => {
  const data = dataFolder();
  const { broker, connection } = await startConnected({ data });
  await connection.createTopic('orders');
  const { open } = await beginMany(connection, ['one', 'two', 'three']);
  await Promise.all(open.map((one) => one.commit()));
  await broker.stop();
  const { connection: later } = await startConnected({ data });
  const heard = await heardBy(later);
  await until(() => heard.length >= 4, 'all come');
  await later.producer('orders').send('end');
  await until(() => heard.some((one) => one.text() === 'end'), 'the end comes');
  expect(heard.map((one) => one.text()).sort()).toEqual(['end', 'first', 'one', 'three', 'two']);
});
