// A feed with subscribers of every kind, in any order of events: who wants only some messages gets those, once and in
// order, and hears how far it is.
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { OverflowPolicy } from '../../../native-layout/partition-table.ts';
import type { Cursor } from '../../../src/frontend/cursor.ts';
import { FrameFilters } from '../../../src/frontend/frame-filters.ts';
import { BatchView, RecordView } from '../../../src/record/batch-view.ts';
import { taggedBatch } from '../../support/tagged-batch.ts';
import { counters, FakeSession, FeedRig, ROUTE, range } from './support.ts';

const FILTERS = ['', 'A', 'A', 'B', 'A || B', 'none'] as const;

/** What a subscriber saw: its messages by tag, and the offsets that its frames cover. */
interface Reader {
  readonly filter: string;
  readonly session: FakeSession;
  readonly cursor: Cursor;
  readonly from: number;
}

class World {
  readonly rig: FeedRig;
  readonly filters = new FrameFilters(counters());
  readonly readers: Reader[] = [];
  /** By offset. */
  readonly tags: string[] = [];
  private readonly runnable = new Set<Cursor>();
  private now = 0;

  constructor(policy: OverflowPolicy) {
    this.rig = new FeedRig(policy, 4_096);
  }

  join(filter: string): void {
    const { rig, runnable } = this;
    const session = new FakeSession(runnable);
    const { feed } = rig;
    const cursor = feed.add(session, feed.wide, feed.nextOffset, rig.next, this.filters.filter(filter));
    this.readers.push({ filter, session, cursor, from: rig.next });
  }

  publish(tags: string): void {
    const batch = taggedBatch(
      [...tags].map((tag) => ({ tag })),
      { partition: ROUTE.id, epoch: ROUTE.epoch },
    );
    if (this.rig.put(batch)) this.tags.push(...tags);
  }

  catchUp(): void {
    for (const cursor of [...this.runnable]) {
      this.runnable.delete(cursor);
      this.rig.feed.catchUp(cursor, 1_000);
      if (!cursor.live && cursor.session.room > 0) this.runnable.add(cursor);
    }
  }

  tellProgress(): void {
    this.now += 1_000;
    this.filters.tellProgress(this.now);
  }

  /** Everybody takes everything. */
  finish(): void {
    for (let i = 0; i < 200; i++) {
      for (const { session } of this.readers) session.drain(Number.POSITIVE_INFINITY);
      for (const { cursor } of this.readers) if (!cursor.live) this.runnable.add(cursor);
      this.rig.feed.deliver();
      this.catchUp();
    }
    this.tellProgress();
  }
}

/** Offsets of the records of all frames, and whether each is in its place. */
function recordsOf(session: FakeSession): { offset: number; tag: string | undefined }[] {
  const found: { offset: number; tag: string | undefined }[] = [];
  for (const frame of session.fake.frames) {
    const bytes = (frame as Uint8Array).slice();
    const view = new BatchView().span(bytes, new Int32Array(bytes.buffer), 0, bytes.length);
    const record = new RecordView();
    while (view.next()) {
      record.open(view);
      while (record.next()) found.push({ offset: record.offset, tag: record.tag });
    }
  }
  return found;
}

const step = fc.oneof(
  { weight: 5, arbitrary: fc.string({ unit: fc.constantFrom('A', 'B', 'C'), minLength: 1, maxLength: 5 }) },
  { weight: 4, arbitrary: fc.constantFrom('deliver', 'catch up') },
  { weight: 1, arbitrary: fc.constantFrom('progress', 'join') },
  { weight: 2, arbitrary: fc.record({ reader: fc.nat(FILTERS.length), takes: fc.nat(3) }) },
);

function play(world: World, steps: readonly (string | { reader: number; takes: number })[]): void {
  for (const filter of FILTERS) world.join(filter);
  for (const one of steps) {
    if (typeof one === 'object') world.readers[one.reader % world.readers.length].session.drain(one.takes + 1);
    else if (one === 'deliver') world.rig.feed.deliver();
    else if (one === 'catch up') world.catchUp();
    else if (one === 'progress') world.tellProgress();
    else if (one === 'join') world.join(FILTERS[world.readers.length % FILTERS.length]);
    else world.publish(one);
  }
  world.finish();
}

describe.each<OverflowPolicy>(['block', 'drop-oldest'])('subscribers of a ring with the policy %s', (policy) => {
  test('get what they want once and in order, and what they get and miss covers everything', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 80 }), (steps) => {
        const world = new World(policy);
        play(world, steps);
        for (const { filter, session, from } of world.readers) {
          const wants = (tag: string): boolean => filter === '' || filter.split(' || ').includes(tag);
          const records = recordsOf(session).filter(({ offset }) => offset >= from);
          const missed = new Set(session.gaps.flatMap((gap) => range(gap.fromOffset, gap.toOffset)));
          const expected = world.tags
            .map((tag, offset) => ({ offset, tag }))
            .filter(({ offset, tag }) => offset >= from && wants(tag) && !missed.has(offset));
          expect(records).toEqual(expected);
          const covered = new Set([...session.offsets, ...missed].filter((offset) => offset >= from));
          expect([...covered].sort((a, b) => a - b)).toEqual(range(from, world.rig.next));
          if (policy === 'block') expect(session.gaps).toEqual([]);
          // In order: a client takes only what lies before it for known.
          expect(session.offsets.every((offset, i, all) => i === 0 || offset > all[i - 1])).toBe(true);
        }
      }),
      { numRuns: 300 },
    );
  });
});

test('one with a filter that nothing matches holds no room in a lossless ring', () => {
  const world = new World('block');
  world.join('none');
  for (let i = 0; i < 500; i++) {
    world.publish('AB');
    world.rig.feed.deliver();
  }
  expect(world.tags).toHaveLength(1_000);
  expect(world.readers[0].session.fake.frames).toEqual([]);
  world.tellProgress();
  expect(world.readers[0].session.offsets).toEqual(range(0, 1_000));
});

test("subscribers without a filter share the ring's own bytes, beside others with one", () => {
  const world = new World('block');
  for (const filter of ['', 'A', '']) world.join(filter);
  world.publish('AB');
  world.rig.feed.deliver();
  const [one, filtered, other] = world.readers.map(({ session }) => session.fake.frames[0] as Uint8Array);
  expect(one).toEqual(other);
  expect(filtered.length).toBeLessThan(one.length);
});
