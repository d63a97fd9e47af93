import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { OverflowPolicy } from '../../../native-layout/partition-table.ts';
import { BLOCKED, LIVE } from '../../../src/frontend/catch-up.ts';
import { DELIVERY_MAX_BYTES } from '../../../src/frontend/config.ts';
import type { Cursor } from '../../../src/frontend/cursor.ts';
import { NEAR_WRAP } from '../memory/support.ts';
import { FakeSession, FeedRig, range } from './support.ts';

const LENGTH = 96;
const POLICIES: readonly OverflowPolicy[] = ['block', 'reject', 'drop-oldest'];

/** Subscribes where the feed stands. */
function join(rig: FeedRig, session = new FakeSession()): FakeSession {
  const { feed } = rig;
  feed.add(session, feed.wide, feed.nextOffset, rig.next);
  return session;
}

function publish(rig: FeedRig, batches: number, records = 1): void {
  for (let i = 0; i < batches; i++) if (!rig.publish(records, LENGTH)) throw new Error('the ring is full');
}

describe.each(POLICIES)('a feed of a topic with overflow %s', (policy) => {
  test('everybody who keeps up gets the same frames, across the wrap of the ring and of the count', () => {
    const rig = new FeedRig(policy, 1_024, NEAR_WRAP - 1_024 + 64);
    const sessions = [join(rig), join(rig)];
    for (let round = 0; round < 60; round++) {
      publish(rig, 3, 2);
      rig.feed.deliver();
    }
    for (const session of sessions) {
      expect(session.offsets).toEqual(range(0, 360));
      expect(session.gaps).toEqual([]);
    }
    expect(sessions[0].frameLengths).toEqual(sessions[1].frameLengths);
  });

  test('I2: who falls behind catches up exactly where it was', () => {
    const rig = new FeedRig(policy);
    const slow = join(rig);
    const good = join(rig);
    slow.fake.takes = 2;
    publish(rig, 1);
    rig.feed.deliver();
    publish(rig, 1);
    rig.feed.deliver();
    expect(slow.congested).toBe(true);
    publish(rig, 20);
    rig.feed.deliver();
    expect(slow.offsets).toEqual([0, 1]);
    const [cursor] = rig.feed.lagging;
    expect(rig.feed.catchUp(cursor, 1_000_000)).toBe(BLOCKED);
    slow.drain(1_000);
    expect(rig.feed.catchUp(cursor, 1_000_000)).toBe(LIVE);
    expect(rig.feed.lagging.size).toBe(0);
    publish(rig, 5);
    rig.feed.deliver();
    expect(slow.offsets).toEqual(range(0, 27));
    expect(good.offsets).toEqual(range(0, 27));
  });

  test('a subscriber that starts inside a batch is given that batch and told where it starts', () => {
    const rig = new FeedRig(policy);
    join(rig);
    publish(rig, 4, 5);
    rig.feed.deliver();
    const session = new FakeSession();
    const cursor = rig.feed.add(session, rig.feed.wide - 2 * LENGTH, 10, 13);
    expect(cursor.expected).toBe(13);
    rig.feed.catchUp(cursor, 1_000_000);
    expect(session.offsets).toEqual(range(13, 20));
  });

  test('a feed without live subscribers goes with the tail, and nothing is lost to the next one', () => {
    const rig = new FeedRig(policy);
    publish(rig, 30);
    rig.feed.deliver();
    const session = join(rig);
    publish(rig, 2);
    rig.feed.deliver();
    expect(session.offsets).toEqual([30, 31]);
    expect(rig.feed.unused).toBe(false);
  });

  test('frames are cut at batch boundaries, and a large batch makes a frame of its own', () => {
    const rig = new FeedRig(policy, 4 * 1024 * 1024);
    const session = join(rig);
    const half = DELIVERY_MAX_BYTES / 2;
    for (const length of [half, half - 8, half, 2 * DELIVERY_MAX_BYTES, 64 + 24]) rig.publish(1, length);
    rig.feed.deliver();
    expect(session.frameLengths).toEqual([2 * half - 8, half, 2 * DELIVERY_MAX_BYTES, 88]);
    expect(session.offsets).toEqual(range(0, 5));
  });

  test('a waiter gets the next batches once, however the subscribers are', () => {
    const rig = new FeedRig(policy);
    const taken: number[] = [];
    rig.feed.wait({
      tryTake: (span) => {
        taken.push(span.firstOffset, span.nextOffset);
        return true;
      },
      passed: () => {
        throw new Error('nothing was missed');
      },
    });
    expect(rig.feed.unused).toBe(false);
    publish(rig, 3);
    rig.feed.deliver();
    publish(rig, 3);
    rig.feed.deliver();
    expect(taken).toEqual([0, 3]);
    expect(rig.feed.unused).toBe(true);
  });
});

describe('a lossless feed', () => {
  test('I3: the writer waits for the slowest subscriber, and for nobody else', () => {
    const rig = new FeedRig('block', 1_024);
    const slow = join(rig);
    join(rig);
    slow.fake.takes = 1;
    publish(rig, 1);
    rig.feed.deliver();
    let published = 1;
    while (rig.publish(1, LENGTH)) {
      published++;
      rig.feed.deliver();
    }
    expect(published).toBeGreaterThan(5);
    expect(rig.slot).toBe(LENGTH);
    const [cursor] = rig.feed.lagging;
    slow.drain(3);
    rig.feed.catchUp(cursor, 3 * LENGTH);
    expect(rig.slot).toBeGreaterThanOrEqual(4 * LENGTH);
    expect(rig.publish(1, LENGTH)).toBe(true);
    rig.feed.remove(cursor);
    rig.feed.deliver();
    rig.feed.keep();
    expect(rig.slot).toBe(rig.feed.wide);
  });

  test('who falls behind in the middle of a long turn does not leave the slot at its beginning', () => {
    const rig = new FeedRig('block', 4 * 1024 * 1024);
    const slow = join(rig);
    join(rig);
    slow.fake.takes = 3;
    for (let i = 0; i < 10; i++) rig.publish(1, DELIVERY_MAX_BYTES);
    rig.feed.deliver();
    expect(rig.slot).toBe(3 * DELIVERY_MAX_BYTES);
  });
});

describe('a feed that may drop', () => {
  test('who was passed by the writer is told what it missed and goes on behind it', () => {
    const rig = new FeedRig('drop-oldest', 1_024);
    const slow = join(rig);
    const good = join(rig);
    slow.fake.takes = 1;
    for (let i = 0; i < 100; i++) {
      publish(rig, 1);
      rig.feed.deliver();
    }
    const [cursor] = rig.feed.lagging;
    slow.drain(1_000);
    expect(rig.feed.catchUp(cursor, 1_000_000)).toBe(LIVE);
    expect(slow.gaps).toHaveLength(1);
    expect(slow.gaps[0]).toMatchObject({ fromOffset: 1, reason: 'evicted', topic: 't', id: 1, epoch: 7 });
    expect(slow.accounted).toEqual(range(0, 100));
    expect(good.offsets).toEqual(range(0, 100));
    expect(good.gaps).toEqual([]);
  });

  test('when the thread itself was too slow, everybody hears of the same gap', () => {
    const rig = new FeedRig('drop-oldest', 1_024);
    const sessions = [join(rig), join(rig)];
    publish(rig, 2);
    rig.feed.deliver();
    publish(rig, 100);
    rig.feed.deliver();
    for (const session of sessions) {
      expect(session.gaps).toHaveLength(1);
      expect(session.gaps[0].fromOffset).toBe(2);
      expect(session.accounted).toEqual(range(0, 102));
    }
  });

  test('a subscriber that starts later than the gap is not told of it', () => {
    const rig = new FeedRig('drop-oldest', 1_024);
    join(rig);
    publish(rig, 100);
    const late = new FakeSession();
    rig.feed.add(late, rig.feed.wide, rig.feed.nextOffset, rig.next);
    rig.feed.deliver();
    publish(rig, 1);
    rig.feed.deliver();
    expect(late.gaps).toEqual([]);
    expect(late.offsets).toEqual([100]);
  });

  test('a position older than four gigabytes is not taken for a new one', () => {
    const rig = new FeedRig('drop-oldest', 1_024);
    const slow = join(rig);
    join(rig);
    slow.fake.takes = 1;
    publish(rig, 2);
    rig.feed.deliver();
    publish(rig, 1);
    rig.feed.deliver();
    const [cursor] = rig.feed.lagging;
    // The same low 32 bits, one round of the count ago.
    cursor.wide -= 2 ** 32;
    slow.drain(1_000);
    rig.feed.catchUp(cursor, 1_000_000);
    expect(slow.gaps.length + slow.offsets.length).toBeGreaterThan(0);
    expect(new Set(slow.offsets).size).toBe(slow.offsets.length);
  });
});

describe('credit', () => {
  test('live frames that do not fit the window are cut smaller by catching up', () => {
    const rig = new FeedRig('block', 16_384);
    const session = new FakeSession();
    session.openWindow(1_000);
    rig.feed.add(session, rig.feed.wide, 0, 0);
    publish(rig, 40);
    rig.feed.deliver();
    expect(session.offsets).toEqual([]);
    const [cursor] = session.runnable;
    expect(rig.feed.catchUp(cursor, 1_000_000)).toBe(BLOCKED);
    expect(session.offsets).toEqual(range(0, 10));
    session.credit(500);
    expect(rig.feed.catchUp(cursor, 1_000_000)).toBe(BLOCKED);
    expect(session.frameLengths).toEqual([960, 480]);
  });
});

/** One step of the model: what happens next. */
const step = fc.oneof(
  fc.record({ do: fc.constant('publish' as const), records: fc.integer({ min: 1, max: 4 }), size: fc.nat(24) }),
  fc.record({ do: fc.constant('deliver' as const) }),
  fc.record({ do: fc.constant('catch-up' as const), bytes: fc.integer({ min: 1, max: 2_000 }) }),
  fc.record({ do: fc.constant('congest' as const), who: fc.nat(3), frames: fc.integer({ min: 1, max: 4 }) }),
  fc.record({ do: fc.constant('drain' as const), who: fc.nat(3), frames: fc.integer({ min: 1, max: 6 }) }),
  fc.record({ do: fc.constant('credit' as const), who: fc.nat(3), bytes: fc.nat(4_000) }),
);

test.each(POLICIES)('%s: whatever happens in whatever order, every offset is delivered or missed, once', (policy) => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 150 }), fc.boolean(), (steps, wraps) => {
      const rig = new FeedRig(policy, 2_048, wraps ? NEAR_WRAP - 4_096 + 64 : 0);
      const runnable = new Set<Cursor>();
      const sessions = [0, 1, 2, 3].map(() => join(rig, new FakeSession(runnable)));
      const cursors = new Map<FakeSession, Cursor>();
      sessions[3].openWindow(700);
      const work = (bytes: number): void => {
        for (const cursor of rig.feed.lagging) cursors.set(cursor.session as FakeSession, cursor);
        for (const cursor of [...rig.feed.lagging]) rig.feed.catchUp(cursor, bytes);
        if (policy === 'drop-oldest') return;
        // I3.
        const places = [rig.feed.wide, ...[...rig.feed.lagging].map((cursor) => cursor.wide)];
        expect(rig.slot).toBe((Math.min(...places) | 0) & ~7);
      };
      for (const one of steps) {
        if (one.do === 'publish') rig.publish(one.records, 64 + 24 + one.size * 8);
        else if (one.do === 'deliver') rig.feed.deliver();
        else if (one.do === 'catch-up') work(one.bytes);
        else if (one.do === 'congest') sessions[one.who].fake.takes = one.frames;
        else if (one.do === 'drain') sessions[one.who].drain(one.frames);
        else sessions[one.who].credit(one.bytes);
      }
      // In the end everybody takes everything.
      for (let round = 0; round < 200; round++) {
        for (const session of sessions) {
          session.drain(1_000);
          session.credit(1_000_000);
        }
        rig.feed.deliver();
        work(1_000_000);
      }
      for (const session of sessions) {
        expect(session.accounted).toEqual(range(0, rig.next));
        expect(session.offsets).toEqual(session.offsets.toSorted((a, b) => a - b));
        if (policy !== 'drop-oldest') expect(session.gaps).toEqual([]);
      }
    }),
    { numRuns: 150 },
  );
});
