// A broker that keeps nothing, whose coordinator's thread dies: the broker lives on, and so does all that the
// coordinator has answered for.
import { expect, test } from 'vitest';
import type { Connection } from '../../../src/client/connection.ts';
import type { Message } from '../../../src/client/message.ts';
import type { Transaction } from '../../../src/client/messaging.ts';
import { MemoryDisk } from '../../../src/log/disk-memory.ts';
import { FileBook } from '../../../src/memory/shared-file.ts';
import { kill, startConnected, startTestBroker } from '../../support/engine.ts';
import { TimerRig } from '../../support/timer-rig.ts';
import { until, untilAnswer } from '../../support/until.ts';

const HOUR_MS = 3_600_000;

/** How often each text came. */
class Heard {
  readonly times = new Map<string, number>();

  take(text: string): void {
    this.times.set(text, (this.times.get(text) ?? 0) + 1);
  }

  twice(): string[] {
    return [...this.times].filter(([, times]) => times > 1).map(([text]) => text);
  }

  missing(wanted: Iterable<string>): string[] {
    return [...wanted].filter((text) => !this.times.has(text));
  }
}

/** Asks again while the coordinator is away. */
async function insist<T>(ask: () => Promise<T>): Promise<T> {
  return (await untilAnswer(
    () => ask().catch(() => undefined),
    (answer) => answer !== undefined,
    'the coordinator answers',
    20_000,
  )) as T;
}

async function everythingAcked(connection: Connection, group: string): Promise<void> {
  await untilAnswer(
    () => connection.describeGroup(group).catch(() => undefined),
    (description) => description?.queues.every(({ lag }) => lag === 0) ?? false,
    `everything of ${group} is acknowledged`,
    20_000,
  );
}

test('what a push group has acknowledged does not come again, and nothing is left out', async () => {
  const { broker, connection } = await startConnected({ ringBytes: 1024 * 1024 });
  await connection.createTopic('t', { partitions: 4 });
  const heard = new Heard();
  const wanted = new Set<string>();
  const consumer = connection.consumer('t', {
    group: 'g',
    from: 'earliest',
    commitMs: 20,
    onMessage: (message) => heard.take(message.text()),
  });
  await consumer.ready();
  const producer = connection.producer('t');
  for (let round = 0; round < 3; round++) {
    for (let i = 0; i < 200; i++) {
      wanted.add(`${round}-${i}`);
      void producer.send(`${round}-${i}`, { key: `k${i % 8}` });
    }
    await until(() => heard.missing(wanted).length === 0, `round ${round} comes`, 20_000);
    await everythingAcked(connection, 'g');
    await kill(broker, 'coordinator');
  }
  await producer.send('last');
  await until(() => heard.times.has('last'), 'the last one comes', 20_000);
  expect(heard.twice()).toEqual([]);
  await consumer.close();
  // A group that somebody joins anew goes on where it was.
  const next = new Heard();
  const joined = connection.consumer('t', {
    group: 'g',
    from: 'earliest',
    onMessage: (message) => next.take(message.text()),
  });
  await joined.ready();
  await producer.send('after');
  await until(() => next.times.has('after'), 'the new member goes on', 20_000);
  expect([...next.times.keys()].filter((text) => text !== 'after' && text !== 'last')).toEqual([]);
  await joined.close();
});

test('leases hold, acks count, and the messages of a failed handler are retried', async () => {
  const { broker, connection } = await startConnected({ ringBytes: 1024 * 1024 });
  await connection.createTopic('t', { partitions: 2 });
  await connection.setGroup('g', { retryDelaysMs: [2_000], attemptsMax: 3 });
  const consumer = connection.simpleConsumer('t', { group: 'g', from: 'earliest', invisibleMs: 60_000 });
  const producer = connection.producer('t');
  for (let i = 0; i < 30; i++) await producer.send(`${i}`);
  const heard = new Heard();
  const held: Message[] = [];
  while (held.length < 30) held.push(...(await consumer.receive({ max: 30 - held.length, waitMs: 100 })));
  for (const message of held) heard.take(message.text());
  await Promise.all(held.slice(0, 10).map((message) => consumer.ack(message)));
  await Promise.all(held.slice(10, 15).map((message) => consumer.nack(message)));
  await kill(broker, 'coordinator');
  await producer.send('new');
  // Acked ones and leased ones do not come; those that failed do, with one more attempt counted.
  const after: Message[] = [];
  const wanted = ['new', ...held.slice(10, 15).map((message) => message.text())];
  await untilAnswer(
    async () => {
      after.push(...(await consumer.receive({ max: 40, waitMs: 100 }).catch(() => [])));
      return after.length;
    },
    (count) => count >= wanted.length,
    'the failed ones come again',
    20_000,
  );
  expect(after.map((message) => message.text()).sort()).toEqual(wanted.sort());
  expect(after.find((message) => message.text() !== 'new')?.attempts).toBe(2);
  // Tokens from before are good.
  await Promise.all([...held.slice(15), ...after].map((message) => consumer.ack(message)));
  await everythingAcked(connection, 'g');
  await consumer.close();
});

test('timers fire once and recalled ones do not, transactions end as they were decided', async () => {
  const { broker, connection } = await startConnected({ ringBytes: 1024 * 1024 });
  await connection.createTopic('t', { partitions: 2 });
  const heard = new Heard();
  await connection.consumer('t', { from: 'earliest', onMessage: (message) => heard.take(message.text()) }).ready();
  const wanted = new Set<string>();
  const recalled = new Set<string>();
  for (let i = 0; i < 100; i++) {
    const { handle } = await insist(() => connection.schedule('t', `timer ${i}`, { delayMs: 1_000 + i * 30 }));
    if (i % 10 === 9) {
      await insist(async () => (await connection.recall(handle)) ?? true);
      recalled.add(`timer ${i}`);
    } else wanted.add(`timer ${i}`);
    if (i === 50) await kill(broker, 'coordinator');
  }
  const producer = connection.transactionalProducer('t', { group: 'p', check: () => 'unknown' });
  const open: Transaction[] = [];
  for (let i = 0; i < 20; i++) open.push(await insist(() => producer.begin(`transaction ${i}`)));
  await open[0].commit();
  await open[1].rollback();
  await kill(broker, 'coordinator');
  for (let i = 0; i < 20; i += 2) {
    await insist(async () => (await open[i].commit()) ?? true);
    wanted.add(`transaction ${i}`);
  }
  for (let i = 1; i < 20; i += 2) await insist(async () => (await open[i].rollback()) ?? true);
  await until(() => heard.missing(wanted).length === 0, 'everything comes', 30_000);
  await kill(broker, 'coordinator');
  await connection.producer('t').send('end');
  await until(() => heard.times.has('end'), 'the end comes', 20_000);
  expect(heard.twice()).toEqual([]);
  expect([...heard.times.keys()].filter((text) => text !== 'end' && !wanted.has(text))).toEqual([]);
  await producer.close();
}, 60_000);

test('T7: timers that the ring of their topic has long forgotten come after a restart, each once', async () => {
  const broker = await startTestBroker({ ringBytes: 8 * 1024 * 1024 });
  const book = new FileBook();
  const open = (): MemoryDisk => new MemoryDisk(book.files, (change) => book.hear(change));
  const connection = broker.connect();
  await connection.createTopic('t', { partitions: 1 });
  const heard = new Heard();
  await connection
    .consumer('t', { from: 'earliest', onMessage: (message) => heard.take(message.text().slice(0, 5)) })
    .ready();
  const first = new TimerRig(broker, open(), { checkpointMs: HOUR_MS });
  const filler = 'x'.repeat(60_000);
  const wanted = new Set<string>();
  const recalled: string[] = [];
  for (let i = 100; i < 800; i += 10) {
    const messages = Array.from({ length: 10 }, (_, n) => {
      // Some at once, the others in several files.
      const deliverAt = first.now() + ((i + n) % 4) * HOUR_MS;
      return { body: `m${i + n} ${filler}`, deliverAt };
    });
    const handles = await first.schedule('t', messages);
    for (const { body } of messages) wanted.add(body.slice(0, 5));
    if (i % 50 !== 0) continue;
    // Of the one in an hour.
    const index = messages.findIndex((_, n) => (i + n) % 4 === 1);
    await first.recall(handles[index]);
    const text = messages[index].body.slice(0, 5);
    recalled.push(text);
    wanted.delete(text);
  }
  await until(() => heard.times.size >= 175, 'those for now come');
  await first.kill();
  const second = new TimerRig(broker, open(), { ahead: 4 * HOUR_MS });
  await until(() => heard.missing(wanted).length === 0, 'all come', 30_000);
  await second.schedule('t', [{ body: 'm-end', deliverAt: 0 }]);
  await until(() => heard.times.has('m-end'), 'the end comes');
  expect(heard.twice()).toEqual([]);
  expect(recalled.filter((text) => heard.times.has(text))).toEqual([]);
  expect(second.warnings).toEqual([]);
  await second.stop();
}, 60_000);
