import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { BLOCKED, LIVE, WAITING } from '../../../src/frontend/catch-up.ts';
import { HISTORY_CHUNK_MIN_BYTES } from '../../../src/frontend/config.ts';
import { NEAR_WRAP } from '../memory/support.ts';
import { DurableRig, RING_BYTES } from './durable-rig.ts';
import { range } from './support.ts';

describe('a subscriber of a durable topic', () => {
  test('that starts before the oldest batch of the ring reads the log and joins the ring', () => {
    const durable = new DurableRig();
    durable.publish(200, 3);
    const session = durable.session();
    durable.join(session, 0);
    durable.settle();
    expect(session.offsets).toEqual(range(0, 600));
    durable.publish(5);
    durable.feed.deliver();
    expect(session.offsets).toEqual(range(0, 605));
    expect(durable.feed.lagging.size).toBe(0);
    expect(durable.history.bytes).toBe(0);
  });

  test('that starts inside a batch of the log gets nothing before its start', () => {
    const durable = new DurableRig();
    durable.publish(100, 5);
    const session = durable.session();
    durable.join(session, 13);
    durable.settle();
    expect(session.offsets).toEqual(range(13, 500));
  });

  test('that starts where the ring has it does not ask the log', () => {
    const durable = new DurableRig();
    durable.publish(100, 2);
    const session = durable.session();
    durable.join(session, 199);
    expect(durable.run()).toBe(LIVE);
    durable.publish(1);
    durable.feed.deliver();
    expect(session.offsets).toEqual([199, 200]);
    expect(durable.log.requests).toHaveLength(0);
  });

  test('that fell behind while the writer went on misses nothing and holds nobody up', () => {
    const durable = new DurableRig(NEAR_WRAP - RING_BYTES + 64);
    const slow = durable.session();
    durable.join(slow, 0);
    durable.settle();
    slow.fake.takes = 2;
    for (let i = 0; i < 100; i++) {
      durable.publish(1);
      durable.feed.deliver();
    }
    expect(slow.offsets.length).toBeLessThan(5);
    slow.drain(1_000);
    durable.settle();
    expect(slow.offsets).toEqual(range(0, 100));
    expect(slow.gaps).toEqual([]);
  });

  test('whose thread was passed by the writer goes on from the log, like all the others', () => {
    const durable = new DurableRig();
    const sessions = [durable.session(), durable.session(), durable.session()];
    for (const session of sessions) durable.join(session);
    durable.settle();
    durable.publish(3);
    durable.feed.deliver();
    durable.publish(500);
    durable.settle();
    for (const session of sessions) {
      expect(session.offsets).toEqual(range(0, 503));
      expect(session.gaps).toEqual([]);
    }
  });

  test('is told exactly what retention took', () => {
    const durable = new DurableRig();
    durable.publish(200);
    durable.log.oldest = 50;
    const session = durable.session();
    durable.join(session, 10);
    durable.settle();
    expect(session.gaps).toMatchObject([{ fromOffset: 10, toOffset: 50, reason: 'expired', topic: 't', epoch: 7 }]);
    expect(session.offsets).toEqual(range(50, 200));
  });

  test('is told exactly what damage took, and goes on behind it', () => {
    const durable = new DurableRig();
    durable.publish(200);
    for (const offset of [20, 21, 60]) durable.log.damaged.add(offset);
    const session = durable.session();
    durable.join(session, 0);
    durable.settle();
    const told = session.gaps.map(({ fromOffset, toOffset, reason }) => [fromOffset, toOffset, reason]);
    expect(told).toEqual([
      [20, 22, 'damaged'],
      [60, 61, 'damaged'],
    ]);
    expect(session.offsets).toEqual(range(0, 200).filter((offset) => ![20, 21, 60].includes(offset)));
  });

  test('gets nothing of what it was told to be gone, also where that ends inside a batch', () => {
    const durable = new DurableRig();
    durable.publish(100, 5);
    durable.log.oldest = 52;
    const session = durable.session();
    durable.join(session, 10);
    durable.settle();
    expect(session.gaps).toMatchObject([{ fromOffset: 10, toOffset: 52, reason: 'expired' }]);
    expect(session.offsets).toEqual(range(52, 500));
  });

  test('is told of what was cut out of the log', () => {
    const durable = new DurableRig();
    durable.publish(100);
    durable.log.batches.splice(30, 4);
    const session = durable.session();
    durable.join(session, 30);
    durable.settle();
    expect(session.gaps).toMatchObject([{ fromOffset: 30, toOffset: 34, reason: 'damaged' }]);
    expect(session.offsets).toEqual(range(34, 100));
  });

  test('does not lose the beginning of a batch inside which another one has begun', () => {
    const durable = new DurableRig();
    durable.publish(1, 5);
    const [inside, whole] = [durable.session(), durable.session()];
    durable.join(inside, 2);
    durable.run();
    durable.join(whole, 0);
    expect(durable.run()).toBe(LIVE);
    durable.publish(300);
    durable.settle();
    expect(inside.offsets).toEqual(range(2, 305));
    expect(whole.offsets).toEqual(range(0, 305));
  });

  test('gets nothing twice when the log is ahead of what its thread has handed out', () => {
    const durable = new DurableRig();
    durable.join();
    durable.settle();
    const late = durable.session();
    for (let i = 0; i < 3; i++) {
      durable.publish(10);
      durable.feed.deliver();
    }
    durable.join(late, 0);
    durable.run();
    durable.publish(5);
    durable.log.answer();
    durable.run();
    expect(durable.feed.lagging.size).toBe(0);
    durable.feed.deliver();
    expect(late.offsets).toEqual(range(0, 35));
  });

  test('that leaves takes its request back', () => {
    const durable = new DurableRig();
    durable.publish(100);
    const cursor = durable.join(durable.session(), 0);
    expect(durable.run()).toBe(WAITING);
    durable.feed.remove(cursor);
    durable.history.leave(cursor);
    expect(durable.log.forgotten).toHaveLength(1);
    expect(durable.history.bytes).toBe(0);
    expect(durable.feed.unused).toBe(true);
  });

  test('is asked for again when the log reader is busy, fails once or has nothing yet', () => {
    const durable = new DurableRig();
    durable.publish(100);
    durable.log.laneMax = 0;
    const session = durable.session();
    durable.join(session, 0);
    expect(durable.run()).toBe(WAITING);
    durable.log.laneMax = 8;
    expect(durable.history.housekeep()).toBe(1);
    for (const code of ['log-busy', 'internal', 'internal', 'log-busy'] as const) {
      durable.run();
      if (durable.log.requests.length === 0) durable.history.housekeep();
      durable.run();
      durable.log.refuse(code);
    }
    durable.settle();
    expect(session.offsets).toEqual(range(0, 100));
  });
});

describe('memory', () => {
  const BIG = 32 * 1024;
  /** So many sessions that the chunks of all do not fit. */
  function crowd(budgetBytes: number, count: number) {
    const durable = new DurableRig(0, budgetBytes, 128 * 1024);
    durable.publish(40, 1, BIG);
    const sessions = Array.from({ length: count }, () => durable.session());
    for (const session of sessions) durable.join(session, 0);
    return { durable, sessions };
  }

  test('requests and chunks stay within the budget, and everybody gets everything', () => {
    const budget = 4 * HISTORY_CHUNK_MIN_BYTES;
    const { durable, sessions } = crowd(budget, 20);
    for (const session of sessions) session.fake.takes = 1;
    for (let round = 0; round < 4_000; round++) {
      for (const session of sessions) if (round % 3 === 0) session.drain(1);
      durable.run(BIG);
      expect(durable.history.bytes).toBeLessThanOrEqual(budget);
      durable.log.answer(round);
      if (round % 5 === 0) durable.history.housekeep();
      durable.feed.deliver();
    }
    for (const session of sessions) expect(session.offsets).toEqual(range(0, 40));
  });

  test('sessions that take nothing give their chunks up to those who do', () => {
    const { durable, sessions } = crowd(2 * HISTORY_CHUNK_MIN_BYTES, 6);
    const [good, ...stuck] = sessions;
    for (const session of stuck) session.fake.takes = 1;
    good.fake.takes = Number.POSITIVE_INFINITY;
    durable.settle();
    expect(good.offsets).toEqual(range(0, 40));
    for (const session of stuck) session.drain(Number.POSITIVE_INFINITY);
    durable.settle();
    for (const session of stuck) expect(session.offsets).toEqual(range(0, 40));
  });

  test('a session that keeps a little of its window free, but never enough, gives its chunk up like any other', () => {
    const { durable, sessions } = crowd(2 * HISTORY_CHUNK_MIN_BYTES, 6);
    const [good, ...sly] = sessions;
    for (const session of sly) session.openWindow(BIG + 64);
    durable.settle();
    expect(sly.every((session) => session.room > 0 && session.room < BIG)).toBe(true);
    expect(good.offsets).toEqual(range(0, 40));
    for (let i = 0; i < 60; i++) {
      for (const session of sly) session.credit(BIG);
      durable.settle();
    }
    for (const session of sly) expect(session.offsets).toEqual(range(0, 40));
  });

  test('a batch larger than a chunk still goes through', () => {
    const durable = new DurableRig(0, HISTORY_CHUNK_MIN_BYTES, 1024 * 1024);
    for (let i = 0; i < 40; i++) durable.publish(1, 1, 200 * 1024);
    const session = durable.session();
    durable.join(session, 0);
    durable.settle();
    expect(session.offsets).toEqual(range(0, 40));
  });
});

/** One step of the model: what happens next. */
const step = fc.oneof(
  { weight: 4, arbitrary: fc.record({ do: fc.constant('publish' as const), batches: fc.nat(12), size: fc.nat(24) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('deliver' as const) }) },
  {
    weight: 4,
    arbitrary: fc.record({ do: fc.constant('catch-up' as const), bytes: fc.integer({ min: 1, max: 2_000 }) }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant('answer' as const),
      which: fc.nat(3),
      batches: fc.integer({ min: 1, max: 9 }),
    }),
  },
  fc.record({ do: fc.constant('lag' as const), batches: fc.nat(3) }),
  fc.record({ do: fc.constant('expire' as const), batches: fc.nat(9) }),
  fc.record({ do: fc.constant('damage' as const), back: fc.nat(30) }),
  fc.record({ do: fc.constant('leave' as const), who: fc.nat(3) }),
  fc.record({ do: fc.constant('housekeep' as const) }),
  fc.record({ do: fc.constant('congest' as const), who: fc.nat(3), frames: fc.integer({ min: 1, max: 4 }) }),
  fc.record({ do: fc.constant('drain' as const), who: fc.nat(3), frames: fc.integer({ min: 1, max: 6 }) }),
  fc.record({ do: fc.constant('credit' as const), who: fc.nat(3), bytes: fc.nat(4_000) }),
);

test('whatever happens in whatever order, everybody gets the records of the log once, in order', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 200 }), fc.boolean(), fc.nat(40), (steps, wraps, first) => {
      const durable = new DurableRig(wraps ? NEAR_WRAP - 4_096 + 64 : 0, 3 * HISTORY_CHUNK_MIN_BYTES);
      const { log, feed, rig } = durable;
      durable.publish(first);
      const lost = new Set<number>();
      const places = [0, 1, 2, 3].map((who) => Math.floor((first * who) / 3));
      const sessions = places.map(() => durable.session());
      sessions[3].openWindow(700);
      const cursors = sessions.map((session, who) => durable.join(session, places[who]));
      for (const one of steps) {
        if (one.do === 'publish') durable.publish(one.batches, 1 + (one.size % 4), 64 + 24 + one.size * 8);
        else if (one.do === 'deliver') feed.deliver();
        else if (one.do === 'catch-up') durable.run(one.bytes);
        else if (one.do === 'answer') log.answer(one.which, one.batches);
        else if (one.do === 'lag') log.behind = Math.min(one.batches, log.batches.length);
        else if (one.do === 'expire') {
          log.oldest =
            log.batches.find((batch) => batch.baseOffset >= log.oldest + one.batches)?.baseOffset ?? log.oldest;
        } else if (one.do === 'damage') {
          const batch = log.batches.at(-1 - one.back);
          if (!batch) continue;
          log.damaged.add(batch.baseOffset);
          for (const offset of range(batch.baseOffset, batch.nextOffset)) lost.add(offset);
        } else if (one.do === 'leave') {
          // A new session takes its place and starts where the old one stood.
          const cursor = cursors[one.who];
          feed.remove(cursor);
          durable.runnable.delete(cursor);
          durable.history.leave(cursor);
          places[one.who] = rig.next >> 1;
          sessions[one.who] = durable.session();
          cursors[one.who] = durable.join(sessions[one.who], places[one.who]);
        } else if (one.do === 'housekeep') durable.history.housekeep();
        else if (one.do === 'congest') sessions[one.who].fake.takes = one.frames;
        else if (one.do === 'drain') sessions[one.who].drain(one.frames);
        else sessions[one.who].credit(one.bytes);
      }
      log.behind = 0;
      for (let round = 0; round < 30; round++) {
        for (const session of sessions) {
          session.drain(1_000);
          session.credit(1_000_000);
        }
        durable.settle();
      }
      sessions.forEach((session, who) => {
        expect(session.accounted).toEqual(range(places[who], rig.next));
        expect(session.offsets).toEqual(session.offsets.toSorted((a, b) => a - b));
        for (const { fromOffset, toOffset, reason } of session.gaps) {
          if (reason === 'expired') expect(toOffset).toBeLessThanOrEqual(log.oldest);
          else expect(range(fromOffset, toOffset).every((offset) => lost.has(offset))).toBe(true);
        }
      });
      expect(durable.history.bytes).toBe(0);
      expect(feed.lagging.size).toBe(0);
    }),
    { numRuns: 200 },
  );
});

test('a session that is over is blocked, and asks for nothing', () => {
  const durable = new DurableRig();
  durable.publish(100);
  const session = durable.session();
  durable.join(session, 0);
  session.close('too-slow');
  expect(durable.run()).toBe(BLOCKED);
  expect(durable.log.requests).toHaveLength(0);
});
