import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { RingmqError } from '../../../src/base/codes.ts';
import type { Producer } from '../../../src/client/connection.ts';
import type { Message } from '../../../src/client/message.ts';
import type { TraceRecord } from '../../../src/client/messaging.ts';
import { Trace, type TraceHost } from '../../../src/client/trace.ts';
import { messageId } from '../../../src/record/message-id.ts';

/** Takes what is traced; can be full, or refuse. */
class Taker {
  readonly records: TraceRecord[] = [];
  readonly errors: Error[] = [];
  opened = 0;
  room = Number.POSITIVE_INFINITY;
  refusal: RingmqError | undefined;

  readonly host: TraceHost = {
    producer: () => {
      this.opened++;
      return {
        ready: async () => {
          if (this.refusal) throw this.refusal;
        },
        trySend: (body: string, extras: { key: string; tag: string }) => {
          if (this.room-- <= 0) return false;
          const record = JSON.parse(body) as TraceRecord;
          expect([extras.key, extras.tag]).toEqual([record.messageId, record.step]);
          this.records.push(record);
          return true;
        },
        flush: async () => {},
      } as unknown as Producer;
    },
    failed: (error) => this.errors.push(error),
  };
}

function message(offset: number, topic = 't'): Message<unknown> {
  return { id: messageId(7, 1, offset), topic, key: 'k', attempts: 1 } as unknown as Message<unknown>;
}

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

test('T1: everybody with one rate chooses the same messages, about as many as the rate says', () => {
  const { host } = new Taker();
  const [a, b, more] = [0.1, 0.1, 0.5].map((sample) => new Trace({ sample }, host));
  let chosen = 0;
  for (let offset = 0; offset < 20_000; offset++) {
    const wanted = a.wants(7, offset & 3, offset);
    expect(b.wants(7, offset & 3, offset)).toBe(wanted);
    if (wanted) {
      chosen++;
      expect(more.wants(7, offset & 3, offset)).toBe(true);
    }
  }
  expect(chosen).toBeGreaterThan(1_700);
  expect(chosen).toBeLessThan(2_300);
  const [none, all] = [0, 1].map((sample) => new Trace({ sample }, host));
  for (let offset = 0; offset < 1_000; offset++)
    expect([none.wants(1, 0, offset), all.wants(1, 0, offset)]).toEqual([false, true]);
});

test('steps travel together, with how long they took', async () => {
  const taker = new Taker();
  const trace = new Trace({ sample: 1 }, taker.host);
  trace.stored('t', 7, 1, 40, 2, 3);
  trace.delivered(message(41), { group: 'g', member: 'm' });
  vi.advanceTimersByTime(50);
  trace.came('acknowledged', message(41), { group: 'g', member: 'm' });
  expect(taker.opened).toBe(0);
  await vi.advanceTimersByTimeAsync(100);
  expect(taker.opened).toBe(1);
  expect(taker.records.map(({ step, messageId: id, tookMs }) => [step, id.slice(-2), tookMs])).toEqual([
    ['stored', '28', 3],
    ['stored', '29', 3],
    ['delivered', '29', undefined],
    ['acknowledged', '29', 50],
  ]);
  expect(taker.records[3]).toMatchObject({ topic: 't', key: 'k', group: 'g', member: 'm', attempt: 1 });
});

test('neither traces nor replies nor the broker’s own topics are traced, and nothing without an offset', async () => {
  const taker = new Taker();
  const trace = new Trace({ sample: 1 }, taker.host);
  for (const topic of ['RMQ_SYS_TRACE_TOPIC', '%REPLY%x', '%RETRY%g|t', 'RMQ_SYS_TIMER']) {
    trace.stored(topic, 7, 0, 1, 1, 1);
    trace.delivered(message(1, topic), {});
  }
  trace.stored('t', 7, 0, -1, 1, 1);
  await vi.advanceTimersByTimeAsync(1_000);
  expect([taker.opened, taker.records]).toEqual([0, []]);
});

test('T2: what has no room waits, a bounded number of it; a refusal is told once', async () => {
  const taker = new Taker();
  const trace = new Trace({ sample: 1 }, taker.host);
  taker.room = 3;
  trace.stored('t', 7, 0, 0, 10_000, 1);
  await vi.advanceTimersByTimeAsync(150);
  expect(taker.records.length).toBe(3);
  taker.room = Number.POSITIVE_INFINITY;
  await vi.advanceTimersByTimeAsync(150);
  expect(taker.records.length).toBe(8_192);
  taker.refusal = new RingmqError('auto-create-off');
  for (let i = 0; i < 3; i++) {
    trace.stored('t', 7, 0, i, 1, 1);
    await vi.advanceTimersByTimeAsync(150);
  }
  expect(taker.errors.map((one) => one.message)).toEqual([expect.stringMatching(/^trace records are not stored: /)]);
  trace.end();
  trace.stored('t', 7, 0, 9, 1, 1);
  await vi.advanceTimersByTimeAsync(500);
  expect(taker.records.length).toBe(8_192);
});

test('a sample that is no share is refused', () => {
  const { host } = new Taker();
  for (const sample of [-0.1, 1.1, Number.NaN]) expect(() => new Trace({ sample }, host)).toThrow(/0 to 1/);
});
