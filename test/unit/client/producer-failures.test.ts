// What a producer does when the broker refuses, the connection is lost, time runs out, or the topic changes.
import { describe, expect, test } from 'vitest';
import type { RingmqError } from '../../../src/base/codes.ts';
import { type FakeOutlet, fakeProducer, routeOf } from '../../support/fake-outlet.ts';

const codeOf = (promise: PromiseLike<unknown>): PromiseLike<string> =>
  promise.then(
    () => 'ok',
    (error: RingmqError) => error.code,
  );

async function network(options = {}) {
  const started = fakeProducer(true, { timeoutMs: 10_000, attemptsMax: 5, ...options });
  await started.producer.ready();
  const batch = (text: string): PromiseLike<{ offset: number }> => {
    const sent = started.producer.send(text);
    started.outlet.turn();
    return sent;
  };
  /** Time passes, in steps of housekeeping, until something was put. */
  const resend = (): void => {
    for (let i = 0; i < 200 && started.outlet.put.length === 0; i++) {
      started.outlet.clock += 10;
      started.producer.housekeep(started.outlet.clock);
    }
  };
  return { ...started, batch, resend };
}

/** Answers as a partition would that has had room for `room` batches: see Dedupe. */
function acceptAll(outlet: FakeOutlet, log: string[]): void {
  while (outlet.put.length > 0) {
    const { texts } = outlet.answer('ok', log.length);
    log.push(...texts);
  }
}

describe('over a network', () => {
  test('refused batches are sent again in their order, under their sequences', async () => {
    const { outlet, batch, resend } = await network();
    const sent = ['a', 'b', 'c'].map(batch);
    const first = outlet.answer('busy');
    expect(first.texts).toEqual(['a']);
    while (outlet.put.length > 0) outlet.answer('out-of-order');
    const log: string[] = [];
    for (let i = 0; i < 5 && log.length < 3; i++) {
      resend();
      expect(outlet.put[0].producerId).toBe(first.producerId);
      acceptAll(outlet, log);
    }
    expect(log).toEqual(['a', 'b', 'c']);
    expect((await Promise.all(sent)).map((one) => one.offset)).toEqual([0, 1, 2]);
  });

  test('nothing is sent behind a refused batch before it', async () => {
    const { outlet, batch, resend } = await network();
    void batch('a');
    outlet.answer('busy');
    void batch('b');
    expect(outlet.put).toEqual([]);
    const log: string[] = [];
    for (let i = 0; i < 5 && log.length < 2; i++) {
      resend();
      acceptAll(outlet, log);
    }
    expect(log).toEqual(['a', 'b']);
  });

  test('what a lost connection may have delivered is sent again under the same sequence', async () => {
    const { outlet, batch, resend } = await network();
    const sent = [batch('a'), batch('b')];
    const before = outlet.put.map((one) => [one.producerId, one.sequence]);
    outlet.lose();
    resend();
    expect(outlet.put.map((one) => [one.producerId, one.sequence])).toEqual(before);
    outlet.answer('duplicate', 7);
    outlet.answer('ok', 8);
    expect((await Promise.all(sent)).map((one) => one.offset)).toEqual([7, 8]);
  });

  test('attempts are limited, and a stop for lack of room lets what is behind go on', async () => {
    const { outlet, batch, resend } = await network({ attemptsMax: 2 });
    const first = codeOf(batch('a'));
    for (let i = 0; i < 2; i++) {
      resend();
      if (outlet.put.length > 0) outlet.answer('broker-unavailable');
    }
    expect(await first).toBe('broker-unavailable');
    const second = batch('b');
    const log: string[] = [];
    resend();
    acceptAll(outlet, log);
    expect((await second).offset).toBe(0);
  });

  test('what is sent again over another connection says where it cannot stand', async () => {
    const { outlet, batch, resend, producer } = await network({ timeoutMs: 60_000 });
    const first = batch('a');
    outlet.answer('ok', 41);
    await first;
    const sent = ['b', 'c'].map((text) => codeOf(batch(text)));
    expect(outlet.put.map((one) => one.floor)).toEqual([-1, -1]);
    outlet.lose();
    resend();
    expect(outlet.put.map(({ sequence, floor }) => [sequence, floor])).toEqual([
      [1, 42],
      [2, 42],
    ]);
    // Offsets of an epoch that a crash took back are given again: it may stand before what was told.
    const route = routeOf(1);
    producer.updateRoute({ ...route, partitions: [{ ...route.partitions[0], epoch: 2, nextOffset: 30 }] });
    outlet.lose();
    resend();
    expect(outlet.put.map(({ epoch, floor }) => [epoch, floor])).toEqual([
      [2, 30],
      [2, 30],
    ]);
    outlet.answer('ok', 30);
    outlet.answer('ok', 31);
    expect(await Promise.all(sent)).toEqual(['ok', 'ok']);
  });

  test('what may be stored already is not sent under another identity; what is behind it is', async () => {
    const { outlet, batch, resend } = await network({ timeoutMs: 60_000 });
    const a = codeOf(batch('a'));
    outlet.lose();
    const b = codeOf(batch('b'));
    resend();
    const { producerId } = outlet.answer('outcome-unknown');
    expect(await a).toBe('outcome-unknown');
    resend();
    expect(outlet.put[0]).toMatchObject({ producerId, texts: ['b'], sequence: 1 });
    outlet.answer('out-of-order');
    resend();
    expect(outlet.put[0]).toMatchObject({ texts: ['b'], sequence: 0, floor: -1 });
    expect(outlet.answer('ok', 0).producerId).not.toBe(producerId);
    expect(await b).toBe('ok');
  });

  test('what the broker says it has not taken is no repeat any more under a new identity', async () => {
    const { outlet, batch, resend } = await network({ timeoutMs: 60_000 });
    const sent = ['a', 'b'].map((text) => codeOf(batch(text)));
    outlet.lose();
    resend();
    expect(outlet.put.map(({ floor }) => floor >= 0)).toEqual([true, true]);
    outlet.answer('outcome-unknown');
    outlet.answer('out-of-order');
    resend();
    expect(outlet.put[0]).toMatchObject({ texts: ['b'], sequence: 0, floor: -1 });
    outlet.answer('ok', 0);
    expect(await Promise.all(sent)).toEqual(['outcome-unknown', 'ok']);
  });

  test('a full disk is waited for as long as there is time, a failed one is not', async () => {
    const { outlet, batch, resend } = await network({ timeoutMs: 60_000 });
    const sent = batch('a');
    for (let i = 0; i < 20; i++) {
      expect(outlet.put).toHaveLength(1);
      outlet.answer('disk-full');
      resend();
    }
    outlet.answer('ok', 5);
    expect((await sent).offset).toBe(5);
    const failed = codeOf(batch('b'));
    outlet.answer('store-failed');
    expect(await failed).toBe('store-failed');
  });

  test('a disk that stays full fails the message when its time is over', async () => {
    const { outlet, batch, resend } = await network({ timeoutMs: 1_000 });
    const sent = codeOf(batch('a'));
    for (let i = 0; i < 20 && outlet.put.length > 0; i++) {
      outlet.answer('disk-full');
      resend();
    }
    expect(await sent).toBe('disk-full');
  });

  test('after a failure for good the rest is delivered once and in order, under another identity', async () => {
    const { outlet, batch, resend } = await network();
    const sent = ['bad', 'b', 'c', 'd'].map((text) => codeOf(batch(text)));
    outlet.answer('message-too-large');
    while (outlet.put.length > 0) outlet.answer('out-of-order');
    const log: string[] = [];
    for (let i = 0; i < 10 && log.length < 3; i++) {
      resend();
      const next = outlet.put[0];
      if (log.length === 0 && next.sequence !== 0) {
        while (outlet.put.length > 0) outlet.answer('out-of-order');
      } else acceptAll(outlet, log);
    }
    expect(log).toEqual(['b', 'c', 'd']);
    expect(await Promise.all(sent)).toEqual(['message-too-large', 'ok', 'ok', 'ok']);
  });

  test('a stale route is asked for again, and the batch goes where it says', async () => {
    const { outlet, batch, resend } = await network();
    const moved = routeOf(1);
    const partitions = moved.partitions.map((one) => ({ ...one, id: 77, epoch: 9 }));
    outlet.route$ = async () => ({ ...moved, version: 2, partitions });
    const sent = batch('a');
    outlet.answer('route-stale');
    await Promise.resolve();
    await Promise.resolve();
    resend();
    expect(outlet.put[0]).toMatchObject({ partition: 77, epoch: 9, texts: ['a'] });
    outlet.answer('ok', 3);
    expect((await sent).offset).toBe(3);
  });

  test('time that runs out fails the message, and its late answer changes nothing', async () => {
    const { outlet, producer, batch } = await network({ timeoutMs: 1_000 });
    const sent = codeOf(batch('a'));
    outlet.clock += 999;
    producer.housekeep(outlet.clock);
    expect(producer.idle).toBe(false);
    outlet.clock += 1;
    producer.housekeep(outlet.clock);
    expect(await sent).toBe('timeout');
    outlet.answer('ok', 0);
    expect(producer.idle).toBe(true);
    expect(outlet.expecting.size).toBe(0);
  });
});

describe('in process', () => {
  test('a refusal is final, and the next batch has a new identity that starts at 0', async () => {
    const { outlet, producer } = fakeProducer(false);
    await producer.ready();
    const first = codeOf(producer.send('a'));
    outlet.turn();
    const before = outlet.answer('no-write-permission');
    expect(await first).toBe('no-write-permission');
    const second = codeOf(producer.send('b'));
    outlet.turn();
    expect(outlet.put[0].sequence).toBe(0);
    expect(outlet.put[0].producerId).not.toBe(before.producerId);
    outlet.answer();
    expect(await second).toBe('ok');
  });

  test('a ring that rejects counts the sequence, so that the identity stays', async () => {
    const { outlet, producer } = fakeProducer(false);
    await producer.ready();
    const first = codeOf(producer.send('a'));
    outlet.turn();
    const before = outlet.answer('ring-full');
    expect(await first).toBe('ring-full');
    void producer.send('b');
    outlet.turn();
    expect([outlet.put[0].producerId, outlet.put[0].sequence]).toEqual([before.producerId, 1]);
  });

  test('a deleted topic fails everything and sends nothing of it; the next send asks for a new one', async () => {
    const { outlet, producer } = fakeProducer(false);
    await producer.ready();
    const out = codeOf(producer.send('out'));
    outlet.turn();
    const open = codeOf(producer.send('open'));
    producer.updateRoute(undefined);
    expect(await Promise.all([out, open])).toEqual(['unknown-topic', 'unknown-topic']);
    outlet.turn();
    expect(outlet.put.flatMap((one) => one.texts)).toEqual(['out']);
    outlet.answer();
    expect(producer.trySend('x')).toBe(false);
    const asked = outlet.routesAsked;
    const again = producer.send('again');
    await producer.ready();
    outlet.turn();
    expect(outlet.routesAsked).toBe(asked + 1);
    outlet.answer('ok', 0);
    expect((await again).offset).toBe(0);
    // Nothing is left of the books: a full buffer's worth still fits.
    expect((producer as unknown as { inflightBytes: number }).inflightBytes).toBe(0);
  });

  test('close flushes, then refuses; abort fails what is left, and wakes who waits', async () => {
    const { outlet, producer, closed } = fakeProducer(false);
    await producer.ready();
    const sent = codeOf(producer.send('a'));
    const closing = producer.close();
    outlet.answer();
    await closing;
    expect([await sent, closed(), await codeOf(producer.send('b'))]).toEqual(['ok', 1, 'closed']);
    expect(() => producer.trySend('b')).toThrow(expect.objectContaining({ code: 'closed' }));
    await producer.close();

    const other = fakeProducer(false, { bufferBytes: 100 });
    await other.producer.ready();
    const lost = codeOf(other.producer.send('x'.repeat(200)));
    other.outlet.turn();
    const waiting = other.producer.ready();
    const flushing = codeOf(other.producer.flush());
    const { RingmqError } = await import('../../../src/base/codes.ts');
    other.producer.abort(new RingmqError('closed'));
    await waiting;
    expect([await lost, await flushing]).toEqual(['closed', 'closed']);
  });
});
