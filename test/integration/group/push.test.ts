// Members of a group share a topic: assignment, hand-over, death, order, retries, dead letters. In process and over
// WebSocket alike.
import { Worker } from 'node:worker_threads';
import { describe, expect, test } from 'vitest';
import type { Connection, ConsumerOptions } from '../../../src/client/connection.ts';
import type { InProcessConnection } from '../../../src/client/in-process.ts';
import { RetryLater } from '../../../src/client/messaging.ts';
import { connect } from '../../../src/client/node.ts';
import type { Broker } from '../../../src/server/broker.ts';
import { dlqTopic } from '../../../src/wire/services.ts';
import { kill, startConnected } from '../../support/engine.ts';
import { until, untilAnswer } from '../../support/until.ts';
import { Handled, member, sendNumbers } from './harness.ts';

const WAYS = ['in process', 'over WebSocket'] as const;
type Way = (typeof WAYS)[number];

interface Started {
  readonly broker: Broker;
  /** In process. */
  readonly admin: InProcessConnection;
  /** A connection of its own for every member. */
  join(): Connection;
}

async function started(way: Way, partitions = 4): Promise<Started> {
  const { broker, connection } = await startConnected({ listen: { port: 0, transport: 'ws' } });
  await connection.createTopic('t', { partitions });
  const join = (): Connection => (way === 'in process' ? broker.connect() : connect(broker.url ?? ''));
  return { broker, admin: connection, join };
}

/** Who holds the queues; nobody knows while the group is not there yet. */
async function owners(bus: InProcessConnection): Promise<string[]> {
  const description = await bus.describeGroup('g').catch(() => undefined);
  return (description?.queues ?? []).filter(({ topic }) => topic === 't').map(({ owner }) => owner);
}
const lag = async (bus: InProcessConnection): Promise<number> =>
  (await bus.describeGroup('g')).queues.reduce((sum, one) => sum + one.lag, 0);

describe.each(WAYS)('%s', (way) => {
  test('members share a topic evenly, whoever comes and goes, and each message is handled once', async () => {
    const { admin, join } = await started(way);
    const handled = new Handled();
    const [a, b, c] = [join(), join(), join()];
    const first = member(a, 'a', handled);
    await first.ready();
    await sendNumbers(admin, 0, 100);
    await until(() => handled.times.size === 100, 'the first member handles everything');
    const second = member(b, 'b', handled);
    await second.ready();
    const shared = (count: number) => (all: string[]) => new Set(all).size === count && !all.includes('');
    await untilAnswer(() => owners(admin), shared(2), 'two share the queues');
    await sendNumbers(admin, 100, 300);
    await until(() => handled.times.size === 300, 'both handle the rest');
    member(c, 'c', handled);
    await untilAnswer(() => owners(admin), shared(3), 'three share the queues');
    await first.close();
    await untilAnswer(
      () => owners(admin),
      (all) => shared(2)(all) && !all.includes('a'),
      'the others take over',
    );
    await sendNumbers(admin, 300, 400);
    await until(() => handled.times.size === 400, 'nothing is lost');
    await untilAnswer(
      () => lag(admin),
      (left) => left === 0,
      'everything is acknowledged',
    );
    expect(handled.twice).toEqual([]);
    expect(handled.countOf('b')).toBeGreaterThan(0);
    await Promise.all([a, b, c].map((one) => one.close()));
    expect((await admin.describeGroup('g')).members).toEqual([]);
  });

  test('a group goes on where it was, also with what came while nobody was there', async () => {
    const { admin, join } = await started(way);
    const handled = new Handled();
    const bus = join();
    const first = member(bus, 'a', handled, { from: 'latest' });
    await first.ready();
    await sendNumbers(admin, 0, 20);
    await until(() => handled.times.size === 20, 'the first 20');
    await first.close();
    await sendNumbers(admin, 20, 40);
    const second = member(bus, 'a', handled, { from: 'latest' });
    await until(() => handled.times.size === 40, 'the rest');
    expect(handled.twice).toEqual([]);
    await second.close();
    await bus.close();
  });

  test('messages of a key keep their order when one fails, and others do not wait for it', async () => {
    const { admin, join } = await started(way, 2);
    await admin.setGroup('g', { retryDelaysMs: [100], attemptsMax: 4 });
    const bus = join();
    const seen: string[] = [];
    const consumer = bus.consumer('t', {
      group: 'g',
      from: 'earliest',
      onMessage: async (message) => {
        seen.push(`${message.text()}#${message.attempts}`);
        await new Promise((resolve) => setTimeout(resolve, 1));
        if (message.text() === 'bad0' && message.attempts < 3) throw new RetryLater(60);
      },
    });
    const producer = admin.producer('t');
    for (let i = 0; i < 3; i++) void producer.send(`bad${i}`, { key: 'bad' });
    for (let i = 0; i < 20; i++) void producer.send(`good${i}`, { key: `good${i % 3}` });
    await producer.flush();
    await until(() => seen.includes('bad2#1'), 'the key goes on');
    const bad = seen.filter((one) => one.startsWith('bad'));
    expect(bad).toEqual(['bad0#1', 'bad0#2', 'bad0#3', 'bad1#1', 'bad2#1']);
    expect(seen.indexOf('good19#1')).toBeLessThan(seen.indexOf('bad0#3'));
    await consumer.close();
    await bus.close();
  });

  test('a poison message is retried, then a dead letter, then replayed', async () => {
    const { admin, join } = await started(way, 2);
    await admin.setGroup('g', { retryDelaysMs: [20], attemptsMax: 3 });
    const bus = join();
    const seen: string[] = [];
    let isFixed = false;
    const consumer = bus.consumer('t', {
      group: 'g',
      from: 'earliest',
      onError: () => {},
      onMessage: (message) => {
        seen.push(`${message.topic}:${message.text()}#${message.attempts}`);
        if (message.text() === 'poison' && !isFixed) throw new Error('cannot read it');
      },
    });
    const producer = admin.producer('t');
    await producer.send('poison');
    await producer.send('fine');
    const dead = async (): Promise<number> => (await admin.describeGroup('g')).deadLetters;
    await untilAnswer(dead, (count) => count === 1, 'the dead letter');
    expect(seen.sort()).toEqual(['t:fine#1', 't:poison#1', 't:poison#2', 't:poison#3']);
    const { messages } = await admin.pull({ topic: dlqTopic('g'), from: 'earliest', waitMs: 1_000 });
    expect(messages.map((one) => one.text())).toEqual(['poison']);
    isFixed = true;
    await admin.replayDeadLetters('g');
    await until(() => seen.length === 5, 'the message again');
    expect(seen[4]).toBe('t:poison#1');
    await consumer.close();
    await bus.close();
  });

  test('the group outlives a restart of the coordinator: nothing lost, nothing acknowledged again', async () => {
    const { broker, admin, join } = await started(way);
    const handled = new Handled();
    const bus = join();
    const consumer = member(bus, 'a', handled);
    await consumer.ready();
    await sendNumbers(admin, 0, 50);
    await until(() => handled.times.size === 50, 'the first 50');
    await consumer.commit();
    await kill(broker, 'coordinator');
    await sendNumbers(admin, 50, 100);
    await until(() => handled.times.size === 100, 'the rest', 20_000);
    // A broker without a data folder forgets the group with its coordinator: see the durable test.
    await consumer.close();
    await bus.close();
  });

  test('seek() moves a partition back and forth, also for whoever holds it next', async () => {
    const { admin, join } = await started(way, 1);
    const bus = join();
    const seen: string[] = [];
    const options: ConsumerOptions = {
      group: 'g',
      from: 'earliest',
      commitMs: 20,
      onMessage: (message) => void seen.push(message.text()),
    };
    const consumer = bus.consumer('t', options);
    await admin.producer('t').sendBatch(['a', 'b', 'c', 'd']);
    await until(() => seen.length === 4, 'all of them');
    await consumer.seek(0, 2);
    await until(() => seen.length === 6, 'the last two again');
    await expect(consumer.seek(0, 99)).rejects.toMatchObject({ code: 'offset-out-of-range' });
    await expect(consumer.seek(7, 0)).rejects.toMatchObject({ code: 'unknown-partition' });
    consumer.pause();
    await consumer.seek(0, 1);
    await consumer.close();
    const next = bus.consumer('t', options);
    await until(() => seen.length === 9, 'three of them for the next one');
    expect(seen.join('')).toBe('abcdcdbcd');
    await next.close();
    await bus.close();
  });

  test('batches: what throws comes again one by one', async () => {
    const { admin, join } = await started(way, 1);
    await admin.setGroup('g', { retryDelaysMs: [20], attemptsMax: 3 });
    const bus = join();
    const seen: string[] = [];
    const consumer = bus.consumer('t', {
      group: 'g',
      from: 'earliest',
      onError: () => {},
      onBatch: (batch) => {
        const isFirst = seen.length === 0;
        while (batch.next()) seen.push(batch.text());
        if (isFirst) throw new Error('no');
      },
    });
    await admin.producer('t').sendBatch(['a', 'b', 'c']);
    await until(() => seen.length >= 6, 'all of them again');
    expect(seen.slice(0, 3)).toEqual(['a', 'b', 'c']);
    expect(seen.slice(3).sort()).toEqual(['a', 'b', 'c']);
    await consumer.close();
    await bus.close();
  });
});

test('a member whose thread ends at work: others go on, nothing is lost or handled after its ack', async () => {
  const { broker, admin } = await started('in process');
  const handled = new Handled();
  const thread = new Worker(new URL('../../support/group-thread.mjs', import.meta.url), {
    workerData: { attachment: broker.attachment, topic: 't', group: 'g', member: 'victim', workMs: 20 },
  });
  const done = new Set<string>();
  let begun = 0;
  thread.on('message', ({ type, text }: { type: string; text: string }) => {
    if (type === 'begins') begun++;
    if (type === 'done') done.add(text);
  });
  const survivor = member(admin, 'survivor', handled);
  await untilAnswer(
    () => owners(admin),
    (all) => new Set(all).size === 2 && !all.includes(''),
    'both',
  );
  await sendNumbers(admin, 0, 400);
  await until(() => done.size >= 20 && begun > done.size, 'the victim is at work');
  await new Promise((resolve) => setTimeout(resolve, 120));
  const acked = (await admin.describeGroup('g')).queues.filter(({ owner }) => owner === 'victim');
  await thread.terminate();
  await until(
    () => new Set([...handled.times.keys(), ...done]).size === 400,
    'the rest is handled by the survivor',
    20_000,
  );
  await untilAnswer(
    () => lag(admin),
    (left) => left === 0,
    'everything is acknowledged',
  );
  // What it had acknowledged came to nobody else.
  const again = [...handled.times.keys()].filter((text) => done.has(text));
  const open = 400 - acked.reduce((sum, one) => sum + one.offset, 0);
  expect(again.length).toBeLessThan(open);
  expect(handled.twice).toEqual([]);
  await survivor.close();
});
