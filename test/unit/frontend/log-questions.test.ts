import { describe, expect, test } from 'vitest';
import { CODES } from '../../../src/base/codes.ts';
import { LOG_ANSWER_MS, LOG_QUESTIONS, LOG_QUESTIONS_WAITING } from '../../../src/frontend/config.ts';
import { LogQuestions } from '../../../src/frontend/log-questions.ts';
import { FakeLog } from './fake-log.ts';

const QUEUE = { topicId: 3, number: 0 };

function rig() {
  const log = new FakeLog();
  for (let i = 0; i < 4; i++) log.append(new Uint8Array(16).fill(i + 1), i * 10, i * 10 + 10, i * 100);
  const time = { now: 0 };
  return { log, time, questions: new LogQuestions(log, () => time.now) };
}

describe('a question to the log', () => {
  test('is answered with a copy of the batches', async () => {
    const { log, questions } = rig();
    const asked = questions.read(QUEUE, 12, 1_000);
    log.answer(0, 2);
    const part = await asked;
    expect(part).toMatchObject({ code: 'ok', baseOffset: 10, nextOffset: 30 });
    expect([...part.bytes]).toEqual([...new Array(16).fill(2), ...new Array(16).fill(3)]);
  });

  test('says what is out of range and what is damaged', async () => {
    const { log, questions } = rig();
    log.oldest = 20;
    const expired = questions.read(QUEUE, 0, 1);
    log.answer();
    expect(await expired).toMatchObject({ code: 'offset-out-of-range', oldestOffset: 20 });
    log.damaged.add(20);
    const damaged = questions.read(QUEUE, 20, 1);
    log.answer();
    expect(await damaged).toMatchObject({ code: 'log-damaged', nextOffset: 30 });
  });

  test('finds the offset of a time', async () => {
    const { log, questions } = rig();
    const [first, none] = [questions.locate(QUEUE, 101), questions.locate(QUEUE, 1_000)];
    log.answer();
    log.answer();
    expect(await first).toBe(20);
    expect(await none).toBe(40);
  });

  test('is refused with the code of the log reader', async () => {
    const { log, questions } = rig();
    const asked = questions.read(QUEUE, 0, 1);
    log.refuse('internal');
    await expect(asked).rejects.toMatchObject({ code: 'internal' });
  });

  test('is given up when no answer comes', async () => {
    const { log, time, questions } = rig();
    const asked = questions.locate(QUEUE, 0);
    const given = expect(asked).rejects.toMatchObject({ code: 'log-busy' });
    time.now = LOG_ANSWER_MS - 1;
    questions.housekeep();
    expect(log.requests).toHaveLength(1);
    time.now++;
    questions.housekeep();
    await given;
    expect(log.requests).toHaveLength(0);
  });
});

test('so many questions are under way at a time; the rest wait in order, up to a limit', async () => {
  const { log, questions } = rig();
  const order: number[] = [];
  const ask = (i: number) => questions.locate(QUEUE, 0).then(() => order.push(i));
  const all = Array.from({ length: LOG_QUESTIONS + 5 }, (_, i) => ask(i));
  expect(log.requests).toHaveLength(LOG_QUESTIONS);
  while (log.answer());
  await Promise.all(all);
  expect(order).toEqual(Array.from(all.keys()));
  for (let i = 0; i < LOG_QUESTIONS + LOG_QUESTIONS_WAITING; i++) questions.locate(QUEUE, 0).catch(() => {});
  await expect(questions.locate(QUEUE, 0)).rejects.toMatchObject({ code: 'log-busy' });
});

test('however many topics are begun at a time, a single question finds room', async () => {
  const { log, questions } = rig();
  const queues = Array.from({ length: 300 }, (_, number) => ({ topicId: 3, number }));
  const begun = Array.from({ length: 40 }, () => questions.locateAll(queues, 101));
  const single = questions.read(QUEUE, 12, 1_000);
  let over = false;
  const all = Promise.all([...begun, single]).finally(() => {
    over = true;
  });
  while (!over) {
    while (log.answer());
    await new Promise((resolve) => setImmediate(resolve));
  }
  const found = await all;
  expect(found.slice(0, -1)).toEqual(begun.map(() => queues.map(() => 20)));
});

test('a full lane is tried again', async () => {
  const { log, questions } = rig();
  log.laneMax = 0;
  const asked = questions.locate(QUEUE, 0);
  expect(questions.housekeep()).toBe(1);
  log.laneMax = 1;
  expect(questions.housekeep()).toBe(0);
  log.answer();
  expect(await asked).toBe(0);
});

test('close refuses everything, now and later', async () => {
  const { log, questions } = rig();
  const refused = { code: 'shutting-down', number: CODES['shutting-down'].number };
  const all = Array.from({ length: LOG_QUESTIONS + 3 }, () => questions.locate(QUEUE, 0));
  const outcomes = Promise.allSettled(all);
  questions.close();
  for (const one of await outcomes) expect(one).toMatchObject({ status: 'rejected', reason: refused });
  expect(log.requests).toHaveLength(0);
  await expect(questions.read(QUEUE, 0, 1)).rejects.toMatchObject(refused);
});
