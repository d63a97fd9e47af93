// Single messages that are read again, from a connection of the test's own.
import { expect, test } from 'vitest';
import type { PullResult } from '../../../src/client/connection.ts';
import { MessageReader } from '../../../src/coordinator/message-reader.ts';

const NOTHING: PullResult = { messages: [], epoch: 1, nextOffset: 5, gap: false };

/** A partition whose next message gets offset 9, and the answers of its log, in order. */
function readerOf(...answers: readonly Partial<PullResult>[]) {
  const left = [...answers];
  const route = { partitions: [{ number: 0 }] };
  return new MessageReader({
    pull: async () => ({ ...NOTHING, ...left.shift() }),
    route: async () => route as never,
    nextOffset: () => 9,
  });
}

test('a log that says nothing in time is asked again: the message is not lost', async () => {
  const message = { offset: 5 };
  const reader = readerOf({}, {}, { messages: [message] as never });
  expect(await reader.one('t', 0, 1, 5)).toBe(message);
});

test('what is not kept any more, or does not exist, is not found', async () => {
  const code = 'not-found';
  await expect(readerOf({ gap: true, nextOffset: 7 }).one('t', 0, 1, 5)).rejects.toMatchObject({ code });
  await expect(readerOf({ nextOffset: 9 }).one('t', 0, 1, 9)).rejects.toMatchObject({ code });
});

test('a log that says nothing for long is busy', async () => {
  await expect(readerOf().one('t', 0, 1, 5)).rejects.toMatchObject({ code: 'log-busy' });
});
