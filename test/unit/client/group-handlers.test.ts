// What becomes of messages whose handlers fail, hang or take their time.
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { RingmqError } from '../../../src/base/codes.ts';
import type { Message } from '../../../src/client/message.ts';
import { DeadLetter, RetryLater } from '../../../src/client/messaging.ts';
import { PROPERTY, retryTopic } from '../../../src/wire/services.ts';
import { acknowledged, FakeGroup, gate, holding } from '../../support/fake-group.ts';
import { until } from '../../support/until.ts';

describe('handlers', () => {
  test('work at once, as many as concurrency says', async () => {
    const gates = [gate(), gate(), gate()];
    const begun: string[] = [];
    const { group, consumer } = await holding(['0', '1', '2'], {
      concurrency: 2,
      onMessage: (message) => {
        begun.push(message.text());
        return gates[message.offset].promise;
      },
    });
    expect(begun).toEqual(['0', '1']);
    gates[1].open();
    await until(() => begun.length === 3, 'the third begins');
    gates[0].open();
    gates[2].open();
    await acknowledged(group, 't/0', 3);
    await consumer.close();
  });

  test('get no two messages of one key at once', async () => {
    const first = gate();
    const begun: string[] = [];
    const { group, consumer } = await holding(
      [{ body: 'a1', key: 'a' }, { body: 'a2', key: 'a' }, { body: 'b1', key: 'b' }, 'x'],
      {
        onMessage: (message) => {
          begun.push(message.text());
          return message.text() === 'a1' ? first.promise : undefined;
        },
      },
    );
    expect(begun).toEqual(['a1', 'b1', 'x']);
    first.open();
    await acknowledged(group, 't/0', 4);
    expect(begun.at(-1)).toBe('a2');
    await consumer.close();
  });

  test('that fail get the message again in its place where its key matters, after the delay of the group', async () => {
    const tries: string[] = [];
    const { group, consumer } = await holding([{ body: 'a1', key: 'a' }, { body: 'a2', key: 'a' }, 'x'], {
      onMessage: (message) => {
        tries.push(`${message.text()}#${message.attempts}`);
        if (message.text() === 'a1' && message.attempts < 3) throw new Error('not yet');
      },
    });
    await acknowledged(group, 't/0', 3);
    expect(tries).toEqual(['a1#1', 'x#1', 'a1#2', 'a1#3', 'a2#1']);
    expect([group.returned, group.errors]).toEqual([[], ['not yet', 'not yet']]);
    await consumer.close();
  });

  test('attempts are committed, and count for the next member', async () => {
    const group = new FakeGroup();
    group.settings = { retryDelaysMs: [60_000], attemptsMax: 3 };
    group.send('t', 0, { body: 'a', key: 'k' });
    group.assign('m', 't/0');
    const onMessage = (): never => {
      throw new RetryLater(60_000);
    };
    const first = group.consumer('t', { onMessage });
    await until(() => group.at('t/0') === '0||0,1', 'the attempt is committed');
    await first.close();
    group.assign('n', 't/0');
    const attempts: number[] = [];
    const second = group.consumer('t', { member: 'n', onMessage: (message) => void attempts.push(message.attempts) });
    await acknowledged(group, 't/0', 1);
    expect([attempts, group.errors]).toEqual([[2], []]);
    await second.close();
  });

  test('a message is a dead letter after the last attempt, and its key goes on', async () => {
    const texts: string[] = [];
    const { group, consumer } = await holding(
      [
        { body: 'bad', key: 'a' },
        { body: 'good', key: 'a' },
      ],
      {
        onMessage: (message) => {
          texts.push(message.text());
          if (message.text() === 'bad') throw new Error('poison');
        },
      },
    );
    await acknowledged(group, 't/0', 2);
    expect(texts).toEqual(['bad', 'bad', 'bad', 'good']);
    expect(group.returned).toMatchObject([{ offset: 0, attempts: 3, deadLetter: true, reason: 'poison' }]);
    await consumer.close();
  });

  test('a message without a key goes back to the broker and stops nothing', async () => {
    const { group, consumer } = await holding(['bad', 'later', 'dead', 'good'], {
      onMessage: (message) => {
        if (message.text() === 'bad') throw new Error('no');
        if (message.text() === 'later') throw new RetryLater(500);
        if (message.text() === 'dead') throw new DeadLetter('never');
      },
    });
    await acknowledged(group, 't/0', 4);
    expect(
      group.returned.map(({ offset, delayMs, deadLetter, attempts }) => [offset, delayMs, deadLetter, attempts]),
    ).toEqual([
      [0, -1, false, 1],
      [1, 500, false, 1],
      [2, -1, true, 1],
    ]);
    expect(group.errors).toEqual(['no']);
    await consumer.close();
  });

  test('it is acknowledged only when the broker has taken it back', async () => {
    const { group, consumer } = await holding([], {
      onMessage: () => {
        throw new RetryLater(1);
      },
    });
    group.refusing.set('send-back', new RingmqError('coordinator-unavailable'));
    group.send('t', 0, 'a');
    await consumer.commit();
    expect(group.at('t/0')).toBe('0||0,1');
    group.refusing.clear();
    await acknowledged(group, 't/0', 1);
    expect(group.returned).toHaveLength(1);
    await consumer.close();
  });

  test('it is taken back also by a coordinator that knows no members at first', async () => {
    const { group, consumer } = await holding([], {
      onMessage: () => {
        throw new RetryLater(1);
      },
    });
    group.refusing.set('send-back', new RingmqError('stale-generation'));
    group.send('t', 0, 'a');
    await until(() => consumer.waiting === 1, 'it is on its way back');
    await sleep(50);
    group.refusing.clear();
    await acknowledged(group, 't/0', 1);
    expect([group.returned.length, group.errors]).toEqual([1, []]);
    await consumer.close();
  });

  test('a consumer that closes does not wait for a coordinator that is away', async () => {
    const { group, consumer } = await holding([], {
      onMessage: () => {
        throw new RetryLater(1);
      },
    });
    group.refusing.set('send-back', new RingmqError('coordinator-unavailable'));
    group.send('t', 0, 'a');
    await until(() => consumer.waiting === 1, 'it is on its way back');
    await consumer.close();
    expect([group.at('t/0'), group.left]).toEqual(['0||0,1', ['m']]);
  });

  test('one that hangs counts as failed after its time, and what it says then is late', async () => {
    const hung = gate();
    const tries: number[] = [];
    const { group, consumer } = await holding([{ body: 'a', key: 'k' }], {
      handlerTimeoutMs: 20,
      concurrency: 1,
      onMessage: (message) => {
        tries.push(message.attempts);
        return tries.length === 1 ? hung.promise : new Promise((resolve) => setTimeout(resolve, 5));
      },
    });
    await until(() => tries.length === 2, 'it is tried again');
    hung.fail(new Error('late'));
    await acknowledged(group, 't/0', 1);
    expect(tries).toEqual([1, 2]);
    expect(group.errors).toEqual(['the handler of t/0@0 took longer than 20 ms (handlerTimeoutMs)']);
    await consumer.close();
  });

  test('of batches that throw send every message of the batch back', async () => {
    const { group, consumer } = await holding(['a', 'b', 'c', 'd', 'e'], {
      onBatch: (batch) => {
        batch.next();
        if (batch.offset === 0) throw new Error('no');
      },
    });
    await acknowledged(group, 't/0', 5);
    expect(group.returned.map(({ offset }) => offset)).toEqual([0, 1, 2, 3]);
    expect(group.errors).toEqual(['no']);
    await consumer.close();
  });

  test('are shown retried messages as what they were first', async () => {
    const group = new FakeGroup();
    const retry = retryTopic('g', 't');
    group.assign('m', `${retry}/0`);
    const properties = {
      [PROPERTY.realTopic]: 't',
      [PROPERTY.realQueue]: '3',
      [PROPERTY.realOffset]: '17',
      [PROPERTY.reconsumeTimes]: '2',
    };
    group.send(retry, 0, { body: 'a', properties });
    const seen: unknown[] = [];
    const onMessage = ({ topic, partition, offset, attempts }: Message): void => {
      seen.push([topic, partition, offset, attempts]);
      throw new RetryLater(1);
    };
    const consumer = group.consumer('t', { onMessage });
    await acknowledged(group, `${retry}/0`, 1);
    expect(seen).toEqual([['t', 3, 17, 3]]);
    expect(group.returned).toMatchObject([{ queue: { topic: retry, partition: 0 }, offset: 0, attempts: 3 }]);
    await consumer.close();
  });
});
