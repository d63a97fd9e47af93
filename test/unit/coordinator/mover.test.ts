import { afterEach, describe, expect, test, vi } from 'vitest';
import { type CodeName, RingmqError } from '../../../src/base/codes.ts';
import type { MovedBatch, Mover, MoveSource } from '../../../src/coordinator/mover.ts';
import { PartitionSelector } from '../../../src/routing/selector.ts';
import { routeOf } from '../../support/fake-outlet.ts';
import { MoveWorld, payloadOf } from '../../support/move-world.ts';
import { until } from '../../support/until.ts';

interface TestSource extends MoveSource {
  readonly kind: 'test';
  readonly from: number;
  readonly count: number;
}

/** An owner whose texts follow from the source, and whose state follows from its hooks. */
class TestOwner {
  readonly intended: number[] = [];
  readonly decided: number[] = [];
  readonly done = new Map<number, readonly MovedBatch[]>();
  readonly failed = new Map<number, CodeName>();
  readonly acked = new Set<number>();
  keyed = false;
  resolves: (source: TestSource) => Promise<Uint8Array> = async (source) => this.payload(source);

  own(mover: Mover): this {
    mover.own<TestSource>('test', {
      resolve: (source) => this.resolves(source),
      intended: (source, replaying) => {
        this.intended.push(source.from);
        if (!replaying) this.acked.add(source.from);
      },
      recovered: (source) => void this.acked.add(source.from),
      done: (source, batches) => void this.done.set(source.from, batches),
      failed: (source, code) => void this.failed.set(source.from, code),
    });
    return this;
  }

  payload({ from, count }: TestSource): Uint8Array {
    const texts = Array.from({ length: count }, (_, i) => `m${from + i}`);
    return payloadOf(texts, (text) => (this.keyed ? { key: `k${text}` } : {}));
  }

  move(mover: Mover, topic: string, from: number, count = 1): Promise<readonly MovedBatch[]> {
    const source: TestSource = { kind: 'test', from, count };
    const decided = (): void => void this.decided.push(from);
    const moved = mover.move({ topic, source, payload: this.payload(source), decided });
    moved.catch(() => {});
    return moved;
  }
}

/** The first life of a mover ended before its only move was published; a second one is about to begin. */
async function restartedInMove() {
  const world = new MoveWorld();
  const [partition] = world.topic('t');
  const first = world.begin();
  world.endAt = 2;
  void new TestOwner().own(first).move(first, 't', 0);
  await world.run(first);
  world.endAt = Number.POSITIVE_INFINITY;
  const mover = world.begin();
  return { world, partition, mover, owner: new TestOwner().own(mover) };
}

afterEach(() => {
  vi.restoreAllMocks();
});

describe('moves', () => {
  test('a move is published once and says where', async () => {
    const world = new MoveWorld();
    const [partition] = world.topic('t');
    const mover = world.begin();
    const owner = new TestOwner().own(mover);
    const first = owner.move(mover, 't', 0, 2);
    const second = owner.move(mover, 't', 10);
    await world.run(mover);
    expect(partition.texts).toEqual(['m0', 'm1', 'm10']);
    expect(await first).toEqual([{ partition: 0, offset: 0, count: 2, ordinals: [0, 1] }]);
    expect(await second).toEqual([{ partition: 0, offset: 2, count: 1, ordinals: [0] }]);
    expect(owner.done.get(10)).toEqual(await second);
    expect(mover.size).toBe(0);
  });

  test('moves of one turn share one record and one sync', async () => {
    const world = new MoveWorld();
    world.topic('t');
    const mover = world.begin();
    const owner = new TestOwner().own(mover);
    for (let i = 0; i < 50; i++) void owner.move(mover, 't', i);
    await world.run(mover);
    expect(world.written.filter(({ record }) => record.includes('intents'))).toHaveLength(1);
    expect(owner.done.size).toBe(50);
  });

  test('records with keys go where producers send them', async () => {
    const world = new MoveWorld();
    const partitions = world.topic('t', 4);
    const mover = world.begin();
    const owner = new TestOwner().own(mover);
    owner.keyed = true;
    const moved = await Promise.all([owner.move(mover, 't', 0, 100), world.run(mover)]);
    expect(moved[0].reduce((sum, { count }) => sum + count, 0)).toBe(100);
    const selector = new PartitionSelector(routeOf(4), 0);
    partitions.forEach(({ texts }, number) => {
      expect(texts.length).toBeGreaterThan(0);
      for (const text of texts) expect(selector.byKey(`k${text}`)?.number).toBe(number);
    });
  });

  test('a large move becomes batches that the topic takes', async () => {
    const world = new MoveWorld();
    const [partition] = world.topic('t', 1, { messageMaxBytes: 200 });
    const mover = world.begin();
    const owner = new TestOwner().own(mover);
    const moved = owner.move(mover, 't', 0, 100);
    await world.run(mover);
    expect((await moved).length).toBeGreaterThan(10);
    expect(partition.texts).toEqual(Array.from({ length: 100 }, (_, i) => `m${i}`));
  });

  test('a stop waits for what is under way also when the clock is set ahead', async () => {
    const world = new MoveWorld();
    const [partition] = world.topic('t');
    const mover = world.begin();
    const moved = new TestOwner().own(mover).move(mover, 't', 0);
    await until(() => mover.size === 1, 'it is under way');
    const wall = Date.now.bind(Date);
    let hours = 0;
    vi.spyOn(Date, 'now').mockImplementation(() => wall() + 3_600_000 * hours++);
    let isStopped = false;
    const stopped = mover.stop().then(() => {
      isStopped = true;
    });
    while (!isStopped) await world.run(mover);
    await stopped;
    expect([(await moved).length, partition.texts]).toEqual([1, ['m0']]);
  });

  test('a message that is too large is refused before anything is written', async () => {
    const world = new MoveWorld();
    world.topic('t', 1, { messageMaxBytes: 10 });
    const mover = world.begin();
    new TestOwner().own(mover);
    const source: TestSource = { kind: 'test', from: 0, count: 1 };
    const moved = mover.move({ topic: 't', source, payload: payloadOf(['x'.repeat(200)]) });
    await expect(moved).rejects.toMatchObject({ code: 'message-too-large' });
    expect(world.written).toEqual([]);
  });

  test('a topic that is not there is refused before anything is written', async () => {
    const world = new MoveWorld();
    const mover = world.begin();
    const moved = new TestOwner().own(mover).move(mover, 'gone', 0);
    await expect(moved).rejects.toMatchObject({ code: 'unknown-topic' });
    expect(world.written).toEqual([]);
  });
});

describe('trouble', () => {
  const REFUSALS: CodeName[][] = [
    ['busy'],
    ['ring-full', 'ring-full', 'busy'],
    ['busy', 'busy', 'disk-full'],
    ['no-write-permission', 'route-stale'],
    ['store-failed', 'busy', 'broker-unavailable'],
  ];

  test.each(REFUSALS)('what is refused for now (%s, %s, %s) comes again, in order', async (...codes) => {
    const world = new MoveWorld();
    const [partition] = world.topic('t');
    partition.refuse.push(...codes);
    const mover = world.begin();
    const owner = new TestOwner().own(mover);
    for (let i = 0; i < 40; i++) void owner.move(mover, 't', i);
    await world.run(mover);
    expect(partition.texts).toEqual(Array.from({ length: 40 }, (_, i) => `m${i}`));
    expect(owner.done.size).toBe(40);
  });

  test('one that is refused for good fails alone: what is behind it goes on under another identity', async () => {
    const world = new MoveWorld();
    const [partition] = world.topic('t');
    partition.refuse.push('message-too-large');
    const mover = world.begin();
    const owner = new TestOwner().own(mover);
    const first = owner.move(mover, 't', 0);
    for (let i = 1; i < 40; i++) void owner.move(mover, 't', i);
    await world.run(mover);
    await expect(first).rejects.toMatchObject({ code: 'message-too-large' });
    expect(owner.failed.get(0)).toBe('message-too-large');
    expect(partition.texts).toEqual(Array.from({ length: 39 }, (_, i) => `m${i + 1}`));
    expect(mover.size).toBe(0);
  });

  test('a journal that refuses makes the move fail, and nothing is published', async () => {
    const world = new MoveWorld();
    const [partition] = world.topic('t');
    const mover = world.begin();
    const owner = new TestOwner().own(mover);
    world.journalFails = new RingmqError('disk-full');
    const moved = owner.move(mover, 't', 0);
    await world.run(mover);
    await expect(moved).rejects.toMatchObject({ code: 'disk-full' });
    expect([partition.texts, owner.intended, mover.size]).toEqual([[], [], 0]);
    world.journalFails = undefined;
    void owner.move(mover, 't', 1);
    await world.run(mover);
    expect(partition.texts).toEqual(['m1']);
  });

  test('a source that cannot be read after a restart fails, loudly', async () => {
    const { world, partition, mover, owner } = await restartedInMove();
    owner.resolves = () => Promise.reject(new RingmqError('not-found', 'expired'));
    world.replay();
    mover.start();
    await world.run(mover);
    expect(owner.failed.get(0)).toBe('not-found');
    expect(world.warnings.join()).toContain('expired');
    expect([partition.texts, mover.size]).toEqual([[], 0]);
  });

  test.each(['closed', 'internal'] as const)(
    'a source that cannot be read for %s leaves its move to the next start',
    async (code) => {
      const { world, partition, mover, owner } = await restartedInMove();
      owner.resolves = () => Promise.reject(new RingmqError(code));
      world.replay();
      mover.start();
      await world.run(mover);
      expect([partition.texts, owner.failed.size, mover.size]).toEqual([[], 0, 1]);
      const next = world.begin();
      const heir = new TestOwner().own(next);
      world.replay();
      next.start();
      await world.run(next);
      expect([partition.texts, [...heir.done.keys()], next.size]).toEqual([['m0'], [0], 0]);
    },
  );

  test.each(['disk-full', 'store-failed', 'no-write-permission', 'ring-full'] as const)(
    'what is decided comes, whatever it is refused with afterwards (%s), in this life or the next',
    async (code) => {
      const world = new MoveWorld();
      const [partition] = world.topic('t');
      const first = world.begin();
      const owner = new TestOwner().own(first);
      void owner.move(first, 't', 0);
      partition.refuse.push(...Array.from({ length: 3 }, () => code));
      await world.run(first);
      expect([owner.decided, owner.failed.size, partition.texts]).toEqual([[0], 0, ['m0']]);
      partition.refuse.push(...Array.from({ length: 1_000 }, () => code));
      void owner.move(first, 't', 1);
      world.endAt = world.steps + 60;
      await world.run(first);
      expect([owner.decided, partition.texts]).toEqual([[0, 1], ['m0']]);
      world.losePower();
      partition.refuse.length = 0;
      world.endAt = Number.POSITIVE_INFINITY;
      const next = world.begin();
      new TestOwner().own(next);
      world.replay();
      next.start();
      await world.run(next);
      expect([partition.texts, next.size]).toEqual([['m0', 'm1'], 0]);
    },
  );

  test('a source that cannot be read just now after a restart is read later, and moves', async () => {
    const { world, partition, mover, owner } = await restartedInMove();
    const { resolves } = owner;
    let asked = 0;
    owner.resolves = (source) => {
      return ++asked < 3 ? Promise.reject(new RingmqError('log-busy')) : resolves(source);
    };
    world.replay();
    mover.start();
    for (let again = 0; again < 3; again++) {
      await world.run(mover);
      await new Promise((resolve) => setTimeout(resolve, 220));
    }
    await world.run(mover);
    expect([partition.texts, mover.size, world.warnings]).toEqual([['m0'], 0, []]);
    expect(asked).toBe(3);
  });
});

describe('the coordinator dies between any two steps', () => {
  /** Moves with lives that end before given steps; returns how many steps the first life had. */
  async function livesEnding(ends: readonly number[], power: boolean, forgets = false): Promise<number> {
    const world = new MoveWorld();
    const partitions = world.topic('t', 2);
    const asked = new Set<number>();
    let steps = 0;
    const promised = new Set<number>();
    for (let life = 0; life <= ends.length; life++) {
      world.steps = 0;
      world.endAt = ends[life] ?? Number.POSITIVE_INFINITY;
      const mover = world.begin();
      const owner = new TestOwner().own(mover);
      owner.keyed = true;
      world.replay();
      if (life === 1 && mover.size > 0) world.compact();
      mover.start();
      // Whoever asked and got no answer asks again, unless the move was written down.
      for (const from of [0, 10, 20]) {
        const isKnown = owner.intended.includes(from);
        expect(isKnown || !promised.has(from), `lives end before steps ${ends}: ${from} was decided`).toBe(true);
        if (!isKnown) void owner.move(mover, 't', from, 3);
        asked.add(from);
      }
      await world.run(mover);
      if (life === 0) steps = world.steps;
      if (life < ends.length) {
        if (power) world.losePower();
        for (const from of owner.decided) promised.add(from);
        if (forgets) for (const partition of partitions) partition.forget();
        continue;
      }
      const all = partitions.flatMap(({ texts }) => texts).sort();
      expect(all, `lives end before steps ${ends}`).toEqual(
        [...asked].flatMap((from) => [0, 1, 2].map((i) => `m${from + i}`)).sort(),
      );
      expect([...owner.done.keys()].sort((a, b) => a - b)).toEqual([0, 10, 20]);
      expect(owner.failed.size).toBe(0);
      expect(mover.size).toBe(0);
    }
    return steps;
  }

  test.each(['kill', 'power'])('once, and what was decided comes: %s', async (how) => {
    const steps = await livesEnding([], false);
    expect(steps).toBeGreaterThan(10);
    for (let end = 0; end <= steps; end++) await livesEnding([end], how === 'power');
  });

  test('with a broker that was started again and remembers no producer any more', async () => {
    const steps = await livesEnding([], false);
    for (let end = 0; end <= steps; end++) await livesEnding([end], false, true);
    for (let end = 3; end <= 12; end++) await livesEnding([end, end], false, true);
  });

  test('twice, also after the journal was written anew', async () => {
    for (let end = 3; end <= 12; end++) for (let next = 0; next <= 10; next++) await livesEnding([end, next], false);
  });
});
