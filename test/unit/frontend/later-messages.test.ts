import { expect, test } from 'vitest';
import { areForLater, LaterMessages } from '../../../src/frontend/later-messages.ts';
import { BatchView } from '../../../src/record/batch-view.ts';
import type { Command, CommandOf } from '../../../src/wire/commands.ts';
import { type JsonMessage, parseJsonCommand } from '../../../src/wire/json.ts';
import { RECORD_FLAG_JSON } from '../../../src/wire/json-text.ts';

const NOW = 1_800_000_000_000;

function parse(publish: object): readonly JsonMessage[] {
  const text = JSON.stringify({ op: 'publish', topic: 't', ...publish });
  const command = parseJsonCommand(new TextEncoder().encode(text));
  return command.op === 'publish' ? command.messages : [];
}

test('deliverAt, delayMs and priority of a publish are read, one of the first two', () => {
  expect(parse({ body: 'x', deliverAt: 5, priority: 9 })).toMatchObject([{ deliverAt: 5, flags: 0x90 }]);
  expect(parse({ messages: [{ body: 1, delayMs: 7, priority: 1 }] })).toMatchObject([
    { delayMs: 7, flags: 0x10 | RECORD_FLAG_JSON },
  ]);
  for (const wrong of [
    { body: 'x', deliverAt: 5, delayMs: 5 },
    { body: 'x', delayMs: -1 },
    { body: 'x', deliverAt: 1.5 },
    { body: 'x', priority: 10 },
    { delayMs: 5, messages: [{ body: 'x' }] },
  ]) {
    expect(() => parse(wrong)).toThrow(expect.objectContaining({ code: 'malformed-command' }));
  }
});

test('a publish is for later as a whole, or not at all', () => {
  expect(areForLater(parse({ body: 'x' }))).toBe(false);
  expect(areForLater(parse({ body: 'x', delayMs: 0 }))).toBe(true);
  const mixed = parse({ messages: [{ body: 'x', delayMs: 0 }, { body: 'y' }] });
  expect(() => areForLater(mixed)).toThrow(/to all messages of a publish, or to none/);
});

test('messages are given to the coordinator in calls that fit, and each gets its handle', async () => {
  const asked: { deliverAt: number[] }[] = [];
  const ask = async (command: CommandOf<'call'>): Promise<Command> => {
    const params = JSON.parse(command.params) as { deliverAt: number[] };
    const bytes = command.payload.slice();
    const batch = new BatchView().span(bytes, new Int32Array(bytes.buffer), 0, bytes.length);
    batch.next();
    expect(batch.count).toBe(params.deliverAt.length);
    asked.push(params);
    const handles = params.deliverAt.map((at) => `h${at - NOW}`);
    return { type: 'call-reply', result: JSON.stringify({ handles }), payload: new Uint8Array(0) };
  };
  const later = new LaterMessages(ask, () => NOW);
  const messages = Array.from({ length: 30 }, (_, i) => ({ body: 'x'.repeat(9_000), delayMs: i }));
  const receipts = await later.schedule('t', parse({ messages }));
  expect(receipts).toEqual(messages.map(({ delayMs }) => ({ deliverAt: NOW + delayMs, handle: `h${delayMs}` })));
  expect(asked.length).toBeGreaterThan(1);
  await expect(later.schedule('%RETRY%g|t', parse({ body: 'x', delayMs: 1 }))).rejects.toMatchObject({
    code: 'no-write-permission',
  });
  const count = asked.length;
  const beyond = parse({ messages: [...messages, { body: 'x', delayMs: 367 * 86_400_000 }] });
  await expect(later.schedule('t', beyond)).rejects.toMatchObject({ code: 'delay-out-of-range' });
  expect(asked.length).toBe(count);
});
