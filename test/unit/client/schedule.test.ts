import { expect, test } from 'vitest';
import { type CodeName, RingmqError } from '../../../src/base/codes.ts';
import { Schedules } from '../../../src/client/schedule.ts';
import { BatchView, RecordView } from '../../../src/record/batch-view.ts';
import type { Call } from '../../../src/wire/services.ts';
import { errorOf } from '../../support/engine.ts';

interface Asked {
  readonly method: string;
  readonly topic: string;
  readonly deliverAt: readonly number[];
  readonly texts: readonly string[];
}

function textsIn(payload: Uint8Array): string[] {
  const bytes = payload.slice();
  const batch = new BatchView().span(bytes, new Int32Array(bytes.buffer), 0, bytes.length);
  const texts: string[] = [];
  const record = new RecordView();
  while (batch.next()) for (record.open(batch); record.next(); ) texts.push(record.text());
  return texts;
}

/** A coordinator that takes everything, or refuses topics called `refused`. */
function scripted(): { readonly asked: Asked[]; readonly schedules: Schedules } {
  const asked: Asked[] = [];
  const call = (async (
    method: string,
    params: { topic: string; deliverAt: number[] },
    options: { payload: Uint8Array },
  ) => {
    const texts = textsIn(options.payload);
    asked.push({ method, topic: params.topic, deliverAt: params.deliverAt, texts });
    if (params.topic === 'refused') throw new Error('refused');
    return { result: { handles: texts.map((text) => `handle of ${text}`) }, payload: new Uint8Array(0) };
  }) as unknown as Call;
  return { asked, schedules: new Schedules(call) };
}

const AT = Date.now() + 60_000;

test('what one turn schedules for a topic goes in one call, and each gets its own handle', async () => {
  const { asked, schedules } = scripted();
  const receipts = await Promise.all([
    schedules.schedule('a', 'one', { deliverAt: AT }),
    schedules.schedule('b', 'two', { deliverAt: AT + 1 }),
    schedules.schedule('a', 'three', { deliverAt: AT + 2 }),
  ]);
  expect(asked).toEqual([
    { method: 'schedule', topic: 'a', deliverAt: [AT, AT + 2], texts: ['one', 'three'] },
    { method: 'schedule', topic: 'b', deliverAt: [AT + 1], texts: ['two'] },
  ]);
  expect(receipts).toEqual([
    { topic: 'a', deliverAt: AT, handle: 'handle of one' },
    { topic: 'b', deliverAt: AT + 1, handle: 'handle of two' },
    { topic: 'a', deliverAt: AT + 2, handle: 'handle of three' },
  ]);
});

test('calls have at most 1,024 messages and some 128 KiB, but one message may be larger', async () => {
  const { asked, schedules } = scripted();
  const bodies = [...Array.from({ length: 2_500 }, (_, i) => `${i}`), 'x'.repeat(100_000), 'y'.repeat(900_000), 'z'];
  const receipts = await Promise.all(bodies.map((body) => schedules.schedule('a', body, { deliverAt: AT })));
  expect(asked.flatMap(({ texts }) => texts)).toEqual(bodies);
  expect(asked.map(({ texts }) => texts.length).slice(0, 2)).toEqual([1_024, 1_024]);
  expect(receipts.map(({ handle }) => handle)).toEqual(bodies.map((body) => `handle of ${body}`));
  const again = await schedules.schedule('a', 'again', { deliverAt: AT });
  expect(again.handle).toBe('handle of again');
});

test('a message that is refused at once does not harm those beside it', async () => {
  const { asked, schedules } = scripted();
  const good = schedules.schedule('a', 'good', { deliverAt: AT });
  const refused = [
    schedules.schedule('a', 'x', { deliverAt: AT, tag: 'a|b' }),
    schedules.schedule('a', 'x', { deliverAt: AT, key: 'k'.repeat(1_025) }),
    schedules.schedule('a', 'x', { deliverAt: AT, priority: 1.5 }),
    schedules.schedule('a', 'x'.repeat(1_100_000), { deliverAt: AT }),
    schedules.schedule('a', 7 as unknown as string, { deliverAt: AT }),
    schedules.schedule('a', 'x', { deliverAt: Date.now() + 367 * 86_400_000 }),
  ];
  expect(await Promise.all(refused.map(async (one) => (await errorOf(one)).code))).toEqual([
    'illegal-tag',
    'key-too-long',
    'illegal-priority',
    'message-too-large',
    'illegal-argument',
    'delay-out-of-range',
  ]);
  expect((await good).handle).toBe('handle of good');
  expect(asked.flatMap(({ texts }) => texts)).toEqual(['good']);
});

test('all messages of a call that is refused are refused', async () => {
  const { schedules } = scripted();
  const both = [1, 2].map((one) => schedules.schedule('refused', `${one}`, { deliverAt: AT }));
  const outcomes = await Promise.allSettled(both);
  expect(outcomes.map(({ status }) => status)).toEqual(['rejected', 'rejected']);
});

test('recall takes the text of a receipt only', async () => {
  const { schedules } = scripted();
  expect(await errorOf(schedules.recall(7 as unknown as string))).toMatchObject({ code: 'illegal-argument' });
});

test('an error after which the message may be stored says so, another one does not', async () => {
  const failing = (code: CodeName): Schedules => {
    return new Schedules((() => Promise.reject(new RingmqError(code, 'why'))) as unknown as Call);
  };
  for (const code of ['timeout', 'coordinator-unavailable', 'connection-lost'] as const) {
    const error = await errorOf(failing(code).schedule('a', 'one', { deliverAt: AT }));
    expect(error).toMatchObject({ code, message: expect.stringMatching(/^why; .*may be stored.*come twice/) });
  }
  const error = await errorOf(failing('disk-full').schedule('a', 'one', { deliverAt: AT }));
  expect(error).toMatchObject({ code: 'disk-full', message: 'why' });
});
