// Seeks that meet the end of their consumer, against a small coordinator of the test's own.
import { expect, test } from 'vitest';
import { gate, holding } from '../../support/fake-group.ts';

test('a seek that is under way when the consumer is closed reads nothing any more', async () => {
  const slow = gate();
  const { group, consumer } = await holding(['a', 'b'], { onMessage: () => slow.promise });
  const seeking = consumer.seek(0, 0);
  const closing = consumer.close();
  const { length } = group.opened;
  const late = consumer.seek(0, 0);
  slow.open();
  await Promise.allSettled([seeking, late, closing]);
  expect(group.opened.length).toBe(length);
}, 5_000);
