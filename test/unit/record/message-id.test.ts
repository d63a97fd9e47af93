import fc from 'fast-check';
import { expect, test } from 'vitest';
import { messageId, parseMessageId } from '../../../src/record/message-id.ts';

test('an id is topic id, partition and offset in upper-case hex digits', () => {
  expect(messageId(1, 2, 3)).toBe('000000010002000000000003');
  expect(messageId(0xabcdef, 0xfff, 2 ** 40 + 10)).toBe('00ABCDEF0FFF01000000000A');
});

test('every id says where its message stands', () => {
  const topicIds = fc.integer({ min: 0, max: 0x7fff_ffff });
  const partitions = fc.integer({ min: 0, max: 0xffff });
  const offsets = fc.integer({ min: 0, max: 2 ** 48 - 1 });
  fc.assert(
    fc.property(topicIds, partitions, offsets, (topicId, partition, offset) => {
      const id = messageId(topicId, partition, offset);
      expect(id).toMatch(/^[0-9A-F]{24}$/);
      expect(parseMessageId(id)).toEqual({ topicId, partition, offset });
      expect(parseMessageId(id.toLowerCase())).toEqual({ topicId, partition, offset });
    }),
  );
});

test.each(['', '0'.repeat(23), '0'.repeat(25), `${'0'.repeat(23)}G`, `0x${'0'.repeat(22)}`, `-${'0'.repeat(23)}`])(
  'no id: %j',
  (text) => {
    expect(parseMessageId(text)).toBeUndefined();
  },
);
