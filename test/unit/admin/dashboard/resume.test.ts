// What the dashboard says about an interruption.
import { expect, test } from 'vitest';
import { ResumeAccount, resumeDetail, resumeText } from '../../../../src/admin/dashboard/resume.ts';

const EPOCH = 7;

function account(...offsets: readonly number[]): ResumeAccount {
  const positions = offsets.map((offset, partition) => ({ partition, epoch: EPOCH, offset }));
  return new ResumeAccount('t', positions);
}

function heads(...offsets: readonly number[]) {
  return offsets.map((nextOffset, number) => ({ number, epoch: EPOCH, nextOffset }));
}

function deliver(to: ResumeAccount, partition: number, from: number, end: number): void {
  for (let offset = from; offset < end; offset++) to.delivered(partition, EPOCH, offset);
}

test('there is no result before the heads are known and reached', () => {
  const one = account(10, 0);
  deliver(one, 0, 10, 14);
  expect(one.result()).toBeUndefined();
  one.back(heads(14, 2));
  expect(one.result()).toBeUndefined();
  deliver(one, 1, 0, 2);
  expect(one.result()).toEqual({ topic: 't', caughtUp: 6, lost: 0, repeated: 0, anew: false });
});

test('messages behind the heads do not count', () => {
  const one = account(10);
  one.back(heads(12));
  deliver(one, 0, 10, 100);
  expect(one.result()).toMatchObject({ caughtUp: 2, lost: 0 });
});

test('what a gap steps over is lost, as far as it lies before the heads', () => {
  const one = account(10);
  one.gap(0, 15);
  deliver(one, 0, 15, 20);
  one.gap(0, 40);
  one.back(heads(30));
  expect(one.result()).toMatchObject({ caughtUp: 5, lost: 15 });
});

test('an offset that is stepped over without a gap is lost all the same', () => {
  const one = account(0);
  one.back(heads(4));
  deliver(one, 0, 0, 2);
  deliver(one, 0, 3, 4);
  expect(one.result()).toMatchObject({ caughtUp: 3, lost: 1 });
});

test('what comes twice is not caught up twice', () => {
  const one = account(5);
  one.back(heads(8));
  deliver(one, 0, 4, 7);
  deliver(one, 0, 6, 8);
  expect(one.result()).toMatchObject({ caughtUp: 3, lost: 0, repeated: 2 });
});

test('nothing missed is a result too', () => {
  const one = account(5, 6);
  one.back(heads(5, 6));
  expect(one.result()).toMatchObject({ caughtUp: 0, lost: 0 });
});

test('a partition that was made anew is said, and not counted', () => {
  const one = account(5);
  one.back([{ number: 0, epoch: EPOCH + 1, nextOffset: 3 }]);
  expect(one.result()).toMatchObject({ caughtUp: 0, lost: 0, anew: true });
});

test('the sentence adds up all topics, the detail names them', () => {
  const results = [
    { topic: 'a', caughtUp: 1_200, lost: 0, repeated: 0, anew: false },
    { topic: 'b', caughtUp: 34, lost: 2, repeated: 0, anew: false },
  ];
  expect(resumeText(results, 4_210)).toBe('resumed after 4.2 s: 1,234 messages caught up, 2 lost');
  expect(resumeDetail(results)).toBe('a: 1,200 caught up, 0 lost · b: 34 caught up, 2 lost');
  const anew = [{ ...results[0], caughtUp: 1, repeated: 3, anew: true }];
  expect(resumeText(anew, 50)).toBe(
    'resumed after 50 ms: 1 message caught up, 0 lost, 3 delivered twice, a was made anew meanwhile',
  );
});
