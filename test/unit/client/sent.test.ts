import { expect, test } from 'vitest';
import { RingmqError } from '../../../src/base/codes.ts';
import { BatchOutcome, Sent, Unheard } from '../../../src/client/sent.ts';

test('all messages of a batch share its answer, each with its own offset', async () => {
  const outcome = new BatchOutcome('t', 3, 1);
  const sent = [0, 1, 2].map((index) => new Sent(outcome, index));
  const early = sent[2].then((receipt) => receipt.offset);
  outcome.settle(10, undefined);
  expect(await Promise.all(sent)).toEqual([10, 11, 12].map((offset) => ({ topic: 't', partition: 3, offset })));
  expect(await early).toBe(12);
});

test('an offset that is not known stays unknown, and a failure fails all', async () => {
  const unknown = new BatchOutcome('t', 0, 1);
  unknown.settle(-1, undefined);
  expect((await new Sent(unknown, 5)).offset).toBe(-1);
  const failed = new BatchOutcome('t', 0, 1);
  const one = new Sent(failed, 0);
  failed.settle(-1, new RingmqError('timeout'));
  await expect(one).rejects.toMatchObject({ code: 'timeout' });
  await expect(failed.done()).rejects.toMatchObject({ code: 'timeout' });
  await expect(Sent.refused('t', new RingmqError('closed'))).rejects.toMatchObject({ code: 'closed' });
});

test('failures are told a turn later, each text once, and only those that nobody asked for', async () => {
  const tasks: (() => void)[] = [];
  const told: string[] = [];
  const unheard = new Unheard({ soon: (task) => tasks.push(task) }, { failed: (error) => told.push(error.message) });
  const error = new RingmqError('timeout', 'late');
  const outcomes = [0, 1, 2].map((number) => new BatchOutcome('t', number, 1));
  for (const outcome of outcomes) {
    outcome.settle(-1, error);
    unheard.add(outcome, error);
  }
  const other = new BatchOutcome('t', 3, 1);
  other.settle(-1, new RingmqError('busy', 'full'));
  unheard.add(other, new RingmqError('busy', 'full'));
  await new Sent(other, 0).then(undefined, () => {});
  for (const task of tasks.splice(0)) task();
  expect(told).toEqual(['late']);
  unheard.add(outcomes[0], error);
  expect(tasks).toHaveLength(1);
});
