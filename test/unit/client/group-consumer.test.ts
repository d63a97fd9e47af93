// Consumers that share a topic with their group, against a small coordinator of the test's own.
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, test, vi } from 'vitest';
import { RingmqError } from '../../../src/base/codes.ts';
import type { ConsumerOptions } from '../../../src/client/connection.ts';
import type { Message } from '../../../src/client/message.ts';
import { acknowledged, FakeGroup, gate, holding } from '../../support/fake-group.ts';
import { until } from '../../support/until.ts';

describe('acknowledging', () => {
  test('what a handler returned from is committed, every now and then and at the end', async () => {
    const texts: string[] = [];
    const { group, consumer } = await holding(['a', 'b'], { onMessage: (message) => void texts.push(message.text()) });
    await acknowledged(group, 't/0', 2);
    group.send('t', 0, 'c');
    await consumer.close();
    expect([texts, group.at('t/0'), group.left]).toEqual([['a', 'b', 'c'], '3||', ['m']]);
    expect(group.errors).toEqual([]);
  });

  test('also after the clock was set back', async () => {
    const { group, consumer } = await holding(['a'], { onMessage: () => {} });
    await acknowledged(group, 't/0', 1);
    const { now } = Date;
    const back = vi.spyOn(Date, 'now').mockImplementation(() => now() - 3_600_000);
    try {
      group.send('t', 0, 'b');
      await acknowledged(group, 't/0', 2);
    } finally {
      back.mockRestore();
    }
    await consumer.close();
  });

  test('what is still with a handler is not, what came after it is', async () => {
    const slow = gate();
    const onMessage = (message: Message): void | Promise<void> => (message.text() === 'b' ? slow.promise : undefined);
    const { group, consumer } = await holding(['a', 'b', 'c', 'd'], { onMessage });
    await consumer.commit();
    expect(group.at('t/0')).toBe('1|2,4|');
    slow.open();
    await acknowledged(group, 't/0', 4);
    await consumer.close();
  });

  test('another member gets only what is not acknowledged', async () => {
    const group = new FakeGroup();
    group.send('t', 0, 'a', 'b', 'c', 'd', 'e', 'f');
    const progress = group.progress;
    group.at('t/0');
    progress.get('t/0')?.add(0, 1);
    progress.get('t/0')?.add(2, 4);
    group.assign('m', 't/0');
    for (const way of ['onMessage', 'onBatch'] as const) {
      const texts: string[] = [];
      const consumer = group.consumer('t', {
        member: 'm',
        commitMs: Number.POSITIVE_INFINITY,
        ...(way === 'onMessage'
          ? { onMessage: (message) => void texts.push(message.text()) }
          : {
              onBatch: (batch) => {
                while (batch.next()) texts.push(batch.text());
              },
            }),
      });
      await until(() => texts.length >= 3, 'the rest');
      expect(texts, way).toEqual(['b', 'e', 'f']);
      consumer.end(undefined);
    }
  });

  test('an iterated message is when the next one is asked for', async () => {
    const { group, consumer } = await holding(['a', 'b', 'c'], {});
    const iterator = consumer[Symbol.asyncIterator]();
    expect((await iterator.next()).value?.text()).toBe('a');
    await consumer.commit();
    expect(group.at('t/0')).toBe('0||');
    expect((await iterator.next()).value?.text()).toBe('b');
    await consumer.commit();
    expect(group.at('t/0')).toBe('1||');
    await consumer.close();
    expect((await iterator.next()).done).toBe(true);
    expect(group.at('t/0')).toBe('1||');
  });

  test('leaving the loop leaves its message to others', async () => {
    const { group, consumer } = await holding(['a', 'b', 'c'], {});
    for await (const message of consumer) if (message.text() === 'b') break;
    expect([group.at('t/0'), consumer.closed, group.left]).toEqual(['1||', true, ['m']]);
  });

  test('a whole batch is when its handler returns', async () => {
    const texts: string[] = [];
    const { group, consumer } = await holding(['a', 'b', 'c', 'd', 'e'], {
      onBatch: (batch) => {
        while (batch.next()) texts.push(batch.text());
      },
    });
    await acknowledged(group, 't/0', 5);
    expect(texts.join('')).toBe('abcde');
    await consumer.close();
  });

  test('a commit that is refused for the moment is made up for', async () => {
    const { group, consumer } = await holding(['a'], { onMessage: () => {} });
    group.refusing.set('group-commit', new RingmqError('coordinator-unavailable'));
    group.send('t', 0, 'b');
    await expect(consumer.commit()).rejects.toMatchObject({ code: 'coordinator-unavailable' });
    group.refusing.clear();
    await acknowledged(group, 't/0', 2);
    expect(group.errors).toEqual([]);
    await consumer.close();
  });
});

describe('assignment', () => {
  test('queues that stay go on without loss or repetition when others come and go', async () => {
    const group = new FakeGroup();
    const texts: string[] = [];
    group.assign('m', 't/0');
    const consumer = group.consumer('t', { onMessage: (message) => void texts.push(message.text()) });
    const wanted: string[] = [];
    for (let i = 0; i < 20; i++) {
      group.send('t', 0, `0-${i}`);
      wanted.push(`0-${i}`);
      const opened = group.opened.length;
      if (i % 5 === 2) group.assign('m', 't/0', 't/1');
      if (i % 5 === 4) group.assign('m', 't/0');
      if (i % 5 === 2 || i % 5 === 4) await until(() => group.opened.length > opened, 'its queues are read anew');
      await sleep(1);
    }
    await acknowledged(group, 't/0', 20);
    expect(texts).toEqual(wanted);
    await consumer.close();
  });

  test('a queue that is given up waits for its handlers, hands nothing else on, and is committed', async () => {
    const slow = gate();
    const texts: string[] = [];
    const { group, consumer } = await holding(['a', 'b'], {
      concurrency: 1,
      commitMs: Number.POSITIVE_INFINITY,
      onMessage: (message) => {
        texts.push(message.text());
        return slow.promise;
      },
    });
    group.assign('m');
    await sleep(20);
    expect(group.at('t/0')).toBe('0||');
    slow.open();
    await acknowledged(group, 't/0', 1);
    expect([texts, consumer.positions()]).toEqual([['a'], []]);
    await consumer.close();
  });

  test('a member that was declared dead drops what it holds, waits for its handlers and joins again', async () => {
    const slow = gate();
    const tries: string[] = [];
    const { group, consumer } = await holding(['a', 'b'], {
      concurrency: 1,
      commitMs: Number.POSITIVE_INFINITY,
      onMessage: (message) => {
        tries.push(message.text());
        return tries.length === 1 ? slow.promise : undefined;
      },
    });
    group.expel('m');
    await sleep(20);
    group.assign('m', 't/0');
    await sleep(20);
    expect([tries, group.at('t/0')]).toEqual([['a'], '0||']);
    slow.open();
    await until(() => tries.length === 3, 'everything again');
    await consumer.commit().catch(() => consumer.commit());
    expect([tries, group.at('t/0'), group.errors]).toEqual([['a', 'a', 'b'], '2||', []]);
    await consumer.close();
  });

  test('commit() says so if what was handled belongs to others by now', async () => {
    const { group, consumer } = await holding(['a'], { commitMs: Number.POSITIVE_INFINITY, onMessage: () => {} });
    group.expel('m');
    await until(() => consumer.positions().length === 0, 'it holds nothing');
    const told = 'what it had of t/0 is handled again';
    await expect(consumer.commit()).rejects.toMatchObject({
      code: 'stale-generation',
      message: expect.stringContaining(told),
    });
    await consumer.commit();
    await consumer.close();
  });

  test('commit() says so too of what a handler was done with after the queue was lost', async () => {
    const slow = gate();
    const onMessage = (): Promise<void> => slow.promise;
    const { group, consumer } = await holding(['a'], { commitMs: Number.POSITIVE_INFINITY, onMessage });
    group.expel('m');
    await until(() => consumer.positions().length === 0, 'it holds nothing');
    await consumer.commit();
    slow.open();
    await sleep(1);
    await expect(consumer.commit()).rejects.toMatchObject({ code: 'stale-generation' });
    await consumer.commit();
    await consumer.close();
  });

  test('commit() says so too if it was refused to one that nobody had asked for', async () => {
    const tries: string[] = [];
    const { group, consumer } = await holding(['a'], { onMessage: (message) => void tries.push(message.text()) });
    group.refusing.set('group-commit', new RingmqError('stale-generation'));
    group.send('t', 0, 'b');
    await until(() => tries.length > 2, 'both again');
    group.refusing.clear();
    await expect(consumer.commit()).rejects.toMatchObject({ code: 'stale-generation' });
    await consumer.commit();
    expect(group.at('t/0')).toBe('2||');
    await consumer.close();
  });

  test('a commit that is refused as stale does the same', async () => {
    const tries: string[] = [];
    const { group, consumer } = await holding(['a'], {
      commitMs: Number.POSITIVE_INFINITY,
      onMessage: (message) => void tries.push(message.text()),
    });
    group.refusing.set('group-commit', new RingmqError('stale-generation'));
    await expect(consumer.commit()).rejects.toMatchObject({ code: 'stale-generation' });
    group.refusing.clear();
    await until(() => tries.length === 2, 'the message again');
    await consumer.commit();
    expect(group.at('t/0')).toBe('1||');
    await consumer.close();
  });

  test('a coordinator that is away is asked again, and nothing is handed on when it is away for long', async () => {
    const texts: string[] = [];
    const { group, consumer } = await holding(['a'], { onMessage: (message) => void texts.push(message.text()) });
    await acknowledged(group, 't/0', 1);
    group.sessionMs = 100;
    group.refusing.set('group-sync', new RingmqError('coordinator-unavailable'));
    group.assign('m', 't/0');
    await sleep(300);
    group.send('t', 0, 'b');
    await sleep(20);
    expect(texts).toEqual(['a']);
    group.refusing.clear();
    await acknowledged(group, 't/0', 2);
    expect([texts, group.errors]).toEqual([['a', 'b'], []]);
    await consumer.close();
  });

  test('a group that the member does not fit ends it, and says why', async () => {
    const group = new FakeGroup();
    group.refusing.set('group-sync', new RingmqError('group-mismatch', 'order is key, the group has none'));
    const consumer = group.consumer('t', { onMessage: () => {} });
    await expect(consumer.ready()).rejects.toMatchObject({ code: 'group-mismatch' });
    expect(consumer.closed).toBe(true);
    await consumer.close();
    const iterated = group.consumer('t', {});
    await expect(iterated[Symbol.asyncIterator]().next()).rejects.toMatchObject({ code: 'group-mismatch' });
  });

  test('a ghost of itself is waited for', async () => {
    const { group, consumer } = await holding([], { onMessage: () => {} });
    group.refusing.set('group-sync', new RingmqError('member-exists'));
    group.expel('m');
    await sleep(100);
    expect(consumer.closed).toBe(false);
    group.refusing.clear();
    group.assign('m', 't/0');
    group.send('t', 0, 'a');
    await acknowledged(group, 't/0', 1);
    await consumer.close();
  });
});

describe('flow', () => {
  test('a queue that is full stops reading until half of it is done', async () => {
    const gates: (() => void)[] = [];
    const group = new FakeGroup();
    group.assign('m', 't/0');
    group.send('t', 0, ...Array.from({ length: 100 }, (_, i) => `${i}`));
    const consumer = group.consumer('t', {
      bufferMessages: 10,
      concurrency: 3,
      onMessage: () => new Promise<void>((resolve) => void gates.push(resolve)),
    });
    await until(() => gates.length === 3, 'handlers at work');
    await consumer.commit();
    const { partition, offset } = consumer.positions()[0];
    expect([partition, offset, consumer.waiting]).toEqual([0, 0, 10]);
    for (let done = 0; done < 100; done++) {
      await until(() => gates.length > 0, 'the next handler');
      expect(consumer.waiting).toBeLessThanOrEqual(10);
      gates.shift()?.();
    }
    await acknowledged(group, 't/0', 100);
    await consumer.close();
  });

  test('a queue that is stuck does not stop another', async () => {
    const stuck = gate();
    const group = new FakeGroup();
    group.assign('m', 't/0', 't/1');
    const texts: string[] = [];
    const consumer = group.consumer('t', {
      bufferMessages: 10,
      order: 'partition',
      concurrency: 2,
      onMessage: (message) => {
        if (message.partition === 0) return stuck.promise;
        texts.push(message.text());
      },
    });
    await consumer.ready();
    group.send('t', 0, ...Array.from({ length: 50 }, (_, i) => `${i}`));
    group.send('t', 1, ...Array.from({ length: 50 }, (_, i) => `${i}`));
    await acknowledged(group, 't/1', 50);
    expect(group.at('t/0')).toBe('0||');
    stuck.open();
    await acknowledged(group, 't/0', 50);
    expect(texts).toHaveLength(50);
    await consumer.close();
  });

  test('pause() stops it, resume() goes on', async () => {
    const texts: string[] = [];
    const { group, consumer } = await holding([], {
      onMessage: (message) => {
        texts.push(message.text());
        if (message.text() === 'b') consumer.pause();
      },
    });
    group.send('t', 0, 'a', 'b', 'c');
    await consumer.commit();
    expect([texts, group.at('t/0')]).toEqual([['a', 'b'], '2||']);
    consumer.resume();
    await acknowledged(group, 't/0', 3);
    await consumer.close();
  });
});

describe('options', () => {
  const refused: [string, ConsumerOptions, string][] = [
    ['a group with |', { group: 'a|b' }, 'illegal-group'],
    ['partitions', { partitions: [0] }, 'illegal-argument'],
    ['an offset to begin at', { from: { offset: 1 } }, 'illegal-argument'],
    ['no handler at once', { concurrency: 0 }, 'illegal-argument'],
    ['half a handler', { concurrency: 1.5 }, 'illegal-argument'],
    ['no time for handlers', { handlerTimeoutMs: 0 }, 'illegal-argument'],
    ['another order', { order: 'any' as never }, 'illegal-argument'],
    ['priority with order partition', { priority: true, order: 'partition' }, 'illegal-argument'],
    ['a member without a name', { member: '' }, 'illegal-argument'],
    ['commits all the time', { commitMs: 0 }, 'illegal-argument'],
    ['two handlers', { onMessage: () => {}, onBatch: () => {} }, 'illegal-argument'],
  ];
  test.each(refused)('%s is refused', (_, options, code) => {
    const group = new FakeGroup();
    expect(() => group.consumer('t', options)).toThrow(expect.objectContaining({ code }));
  });

  test('a pool needs Node, and is the only handler', async () => {
    const { consumer } = await holding([], {});
    await expect(consumer.pool('./handler.js')).rejects.toMatchObject({ code: 'illegal-argument' });
    await consumer.close();
    const { consumer: handled } = await holding([], { onMessage: () => {} });
    await expect(handled.pool('./handler.js')).rejects.toMatchObject({ code: 'illegal-argument' });
    await handled.close();
  });
});
