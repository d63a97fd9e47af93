// What a member may hand on next, against a naive model and case by case.
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Dispatch, type DispatchQueue, type Entry, STATE } from '../../../src/group/dispatch.ts';
import type { GroupOrder } from '../../../src/wire/services.ts';

type Named = Entry<string, string>;
type Queue = DispatchQueue<string, string>;

function make(order: GroupOrder = 'key', concurrency = 20, priority = false): Dispatch<string, string> {
  return new Dispatch({ order, concurrency, priority });
}

function put(
  dispatch: Dispatch<string, string>,
  queue: Queue,
  offset: number,
  about: { key?: string; priority?: number } = {},
): Named {
  const { key, priority = 0 } = about;
  return dispatch.put(queue, `${queue.owner}@${offset}`, { offset, key, priority, lengthBytes: 10, failures: 0 });
}

/** Everything that may be handed on now. */
function takeAll(dispatch: Dispatch<string, string>): Named[] {
  const taken: Named[] = [];
  for (let one = dispatch.take(); one !== undefined; one = dispatch.take()) taken.push(one);
  return taken;
}

describe('order', () => {
  test('messages of one key wait for each other, others do not', () => {
    const dispatch = make('key');
    const queue = dispatch.open('q');
    for (const [offset, key] of ['a', 'a', 'b', undefined, 'a', undefined].entries()) {
      put(dispatch, queue, offset, key === undefined ? {} : { key });
    }
    const first = takeAll(dispatch);
    expect(first.map(({ offset }) => offset)).toEqual([0, 2, 3, 5]);
    dispatch.done(first[0]);
    expect(takeAll(dispatch).map(({ offset }) => offset)).toEqual([1]);
  });

  test('one key in two queues is two keys', () => {
    const dispatch = make('key');
    put(dispatch, dispatch.open('q'), 0, { key: 'a' });
    put(dispatch, dispatch.open('r'), 0, { key: 'a' });
    expect(takeAll(dispatch)).toHaveLength(2);
  });

  test('a whole queue waits with order partition, another queue goes on', () => {
    const dispatch = make('partition');
    const [q, r] = [dispatch.open('q'), dispatch.open('r')];
    for (let offset = 0; offset < 3; offset++) {
      put(dispatch, q, offset, { key: `${offset}` });
      put(dispatch, r, offset);
    }
    expect(takeAll(dispatch).map(({ message }) => message)).toEqual(['q@0', 'r@0']);
  });

  test('nothing waits with order none', () => {
    const dispatch = make('none');
    const queue = dispatch.open('q');
    for (let offset = 0; offset < 5; offset++) put(dispatch, queue, offset, { key: 'a' });
    expect(takeAll(dispatch)).toHaveLength(5);
  });
});

describe('failures', () => {
  test('a message that waits in its place holds its key, until it is due and done', () => {
    const dispatch = make('key', 1);
    const queue = dispatch.open('q');
    for (let offset = 0; offset < 2; offset++) put(dispatch, queue, offset, { key: 'a' });
    put(dispatch, queue, 2, { key: 'b' });
    const [bad] = takeAll(dispatch);
    dispatch.retryAt(bad, 500);
    expect(dispatch.dueAt).toBe(500);
    const [other] = takeAll(dispatch);
    expect(other.offset).toBe(2);
    dispatch.done(other);
    dispatch.wake(499);
    expect(takeAll(dispatch)).toEqual([]);
    dispatch.wake(500);
    const [again] = takeAll(dispatch);
    expect([again.offset, again.run, dispatch.dueAt]).toEqual([0, 2, Number.POSITIVE_INFINITY]);
    dispatch.done(again);
    expect(takeAll(dispatch)[0].offset).toBe(1);
  });

  test('a message that goes back to the broker holds its key, but no handler', () => {
    const dispatch = make('key', 1);
    const queue = dispatch.open('q');
    put(dispatch, queue, 0, { key: 'a' });
    put(dispatch, queue, 1, { key: 'a' });
    put(dispatch, queue, 2);
    const [bad] = takeAll(dispatch);
    dispatch.leave(bad);
    expect([queue.busy, dispatch.running]).toEqual([1, 0]);
    const [other] = takeAll(dispatch);
    expect(other.offset).toBe(2);
    dispatch.done(other);
    dispatch.done(bad);
    expect(takeAll(dispatch)[0].offset).toBe(1);
  });

  test('messages that failed with their batch count as on their way back', () => {
    const dispatch = make('none', 1);
    const queue = dispatch.open('q');
    const about = { offset: 4, key: undefined, priority: 0, lengthBytes: 8, failures: 1 };
    const entry = dispatch.putLeaving(queue, 'q@4', about);
    expect([entry.state, queue.busy, queue.count, dispatch.take()]).toEqual([STATE.leaving, 1, 1, undefined]);
    dispatch.done(entry);
    expect([queue.busy, queue.count, queue.lengthBytes]).toEqual([0, 0, 0]);
  });
});

describe('priority', () => {
  test('the highest is handed on first, equals in their order', () => {
    const dispatch = make('none', 20, true);
    const queue = dispatch.open('q');
    for (const [offset, priority] of [0, 9, 3, 9, 15].entries()) put(dispatch, queue, offset, { priority });
    expect(takeAll(dispatch).map(({ offset }) => offset)).toEqual([4, 1, 3, 2, 0]);
  });

  test('is nothing where nobody asked for it', () => {
    const dispatch = make('none');
    const queue = dispatch.open('q');
    for (const [offset, priority] of [0, 9, 3].entries()) put(dispatch, queue, offset, { priority });
    expect(takeAll(dispatch).map(({ offset }) => offset)).toEqual([0, 1, 2]);
  });

  test('does not let a message overtake its key', () => {
    const dispatch = make('key', 20, true);
    const queue = dispatch.open('q');
    put(dispatch, queue, 0, { key: 'a', priority: 1 });
    put(dispatch, queue, 1, { key: 'a', priority: 9 });
    expect(takeAll(dispatch).map(({ offset }) => offset)).toEqual([0]);
  });
});

describe('giving up', () => {
  test('a queue that is stopped finishes what is under way and hands on nothing else', () => {
    const dispatch = make('key', 2);
    const [q, r] = [dispatch.open('q'), dispatch.open('r')];
    for (let offset = 0; offset < 4; offset++) put(dispatch, q, offset, { key: 'a' });
    const [running] = takeAll(dispatch);
    dispatch.stop(q);
    expect([q.count, q.busy]).toEqual([1, 1]);
    put(dispatch, r, 0);
    expect(takeAll(dispatch).map(({ message }) => message)).toEqual(['r@0']);
    dispatch.done(running);
    expect([q.count, q.busy, q.lengthBytes]).toEqual([0, 0, 0]);
    expect(takeAll(dispatch)).toEqual([]);
  });

  test('what handlers have of a forgotten queue still takes their places', () => {
    const dispatch = make('none', 1);
    const [q, r] = [dispatch.open('q'), dispatch.open('r')];
    put(dispatch, q, 0);
    put(dispatch, r, 0);
    const [running] = takeAll(dispatch);
    dispatch.forget(q);
    expect([running.state, q.count, q.busy]).toEqual([STATE.gone, 0, 0]);
    expect(dispatch.take()).toBeUndefined();
    dispatch.done(running);
    dispatch.done(running);
    expect([dispatch.running, takeAll(dispatch).map(({ message }) => message)]).toEqual([0, ['r@0']]);
  });

  test('messages that a crash took back are gone, those before go on', () => {
    const dispatch = make('key');
    const queue = dispatch.open('q');
    for (let offset = 0; offset < 4; offset++) put(dispatch, queue, offset, { key: 'a' });
    dispatch.cut(queue, 2);
    expect(queue.count).toBe(2);
    for (const expected of [0, 1]) {
      const [one] = takeAll(dispatch);
      expect(one.offset).toBe(expected);
      dispatch.done(one);
    }
    expect(takeAll(dispatch)).toEqual([]);
  });
});

interface Step {
  readonly act: 'put' | 'take' | 'done' | 'retry' | 'leave' | 'wake' | 'stop' | 'forget';
  readonly pick: number;
  readonly key: string | undefined;
  readonly priority: number;
}

const steps = fc.array(
  fc.record({
    act: fc.constantFrom<Step['act'][]>(
      'put',
      'put',
      'put',
      'take',
      'take',
      'done',
      'done',
      'retry',
      'leave',
      'wake',
      'stop',
      'forget',
    ),
    pick: fc.nat(1_000),
    key: fc.constantFrom(undefined, 'a', 'b', 'c'),
    priority: fc.nat(9),
  }),
  { maxLength: 120 },
);

/** Does the steps to a dispatch, and checks after each what must hold: written down without any cleverness. */
class Walk {
  readonly waiting: Named[] = [];
  readonly running: Named[] = [];
  readonly leaving: Named[] = [];
  /** With handlers although their queue was forgotten. */
  readonly orphans: Named[] = [];
  readonly gone = new Set<Named>();
  readonly queues: Queue[];
  private readonly dispatch: Dispatch<string, string>;
  private readonly order: GroupOrder;
  private readonly keys = new Map<Named, string | undefined>();
  private readonly offsets = [0, 0];
  private now = 0;

  constructor(dispatch: Dispatch<string, string>, order: GroupOrder) {
    this.dispatch = dispatch;
    this.order = order;
    this.queues = [dispatch.open('0'), dispatch.open('1')];
  }

  do({ act, pick, key, priority }: Step): void {
    const at = pick % 2;
    const chosen: Named | undefined = this.running[pick % Math.max(this.running.length, 1)];
    if (act === 'put') this.put(at, key, priority);
    else if (act === 'take') this.take();
    else if (act === 'wake') this.wake(pick % 5);
    else if (act === 'stop') this.stop(at);
    else if (act === 'forget') this.forget(at);
    else if (chosen) this.settle(act, chosen, pick % 5);
    for (const one of this.orphans.splice(0, pick % 2)) this.dispatch.done(one);
    expect(this.dispatch.running).toBe(this.running.length + this.orphans.length);
    expect(this.dispatch.running).toBeLessThanOrEqual(this.dispatch.concurrency);
  }

  /** Everything that was not dropped can be handled, in the end. */
  finish(): void {
    for (const one of [...this.orphans, ...this.running, ...this.leaving]) this.dispatch.done(one);
    this.dispatch.wake(Number.POSITIVE_INFINITY);
    const rest = new Set(this.waiting);
    for (let one = this.dispatch.take(); one !== undefined; one = this.dispatch.take()) {
      expect(rest.delete(one)).toBe(true);
      this.dispatch.done(one);
    }
    expect([...rest]).toEqual([]);
    for (const one of this.queues) expect([one.count, one.busy, one.lengthBytes, one.lanes.size]).toEqual([0, 0, 0, 0]);
  }

  private put(at: number, key: string | undefined, priority: number): void {
    const about = key === undefined ? { priority } : { key, priority };
    const entry = put(this.dispatch, this.queues[at], this.offsets[at], about);
    this.offsets[at]++;
    this.keys.set(entry, key);
    this.waiting.push(entry);
  }

  private take(): void {
    const entry = this.dispatch.take();
    if (entry === undefined) return;
    expect(this.gone.has(entry), 'handed on after it was done or dropped').toBe(false);
    expect(this.waiting).toContain(entry);
    const lane = this.laneOf(entry);
    const isOfLane = (one: Named): boolean => one !== entry && lane !== undefined && this.laneOf(one) === lane;
    // Nobody of its lane is under way, and nobody before it waits.
    expect([...this.running, ...this.leaving].filter(isOfLane)).toEqual([]);
    expect(this.waiting.filter((one) => isOfLane(one) && one.offset < entry.offset)).toEqual([]);
    this.move(entry, this.waiting, this.running);
  }

  private settle(act: 'done' | 'retry' | 'leave', entry: Named, delay: number): void {
    if (act === 'done') {
      this.dispatch.done(entry);
      this.drop(this.running, (one) => one === entry);
    } else if (act === 'retry') {
      this.dispatch.retryAt(entry, this.now + delay);
      this.move(entry, this.running, this.waiting);
    } else {
      this.dispatch.leave(entry);
      this.move(entry, this.running, this.leaving);
    }
  }

  /** Time passes, and the broker takes one message back. */
  private wake(ms: number): void {
    this.now += ms;
    this.dispatch.wake(this.now);
    const [first] = this.leaving;
    if (!first) return;
    this.dispatch.done(first);
    this.drop(this.leaving, (one) => one === first);
  }

  /** The queue is given up: what is under way ends, and it comes back as another. */
  private stop(at: number): void {
    const isOf = (one: Named): boolean => one.queue === this.queues[at];
    this.dispatch.stop(this.queues[at]);
    this.drop(this.waiting, isOf);
    for (const one of [...this.running, ...this.leaving].filter(isOf)) this.dispatch.done(one);
    this.drop(this.running, isOf);
    this.drop(this.leaving, isOf);
    this.queues[at] = this.dispatch.open(`${at}`);
  }

  private forget(at: number): void {
    const isOf = (one: Named): boolean => one.queue === this.queues[at];
    this.dispatch.forget(this.queues[at]);
    this.orphans.push(...this.running.filter(isOf));
    for (const list of [this.waiting, this.running, this.leaving]) this.drop(list, isOf);
    this.queues[at] = this.dispatch.open(`${at}`);
  }

  private laneOf(entry: Named): string | undefined {
    if (this.order === 'partition') return entry.queue.owner;
    const key = this.keys.get(entry);
    return this.order === 'key' && key !== undefined ? `${entry.queue.owner} ${key}` : undefined;
  }

  private move(entry: Named, from: Named[], to: Named[]): void {
    from.splice(from.indexOf(entry), 1);
    to.push(entry);
  }

  private drop(list: Named[], which: (one: Named) => boolean): void {
    for (const one of list.filter(which)) {
      list.splice(list.indexOf(one), 1);
      this.gone.add(one);
    }
  }
}

test.each<GroupOrder>(['none', 'key', 'partition'])('order %s agrees with a naive model', (order) => {
  fc.assert(
    fc.property(steps, fc.integer({ min: 1, max: 4 }), fc.boolean(), (run, concurrency, byPriority) => {
      const walk = new Walk(make(order, concurrency, byPriority && order !== 'partition'), order);
      for (const step of run) walk.do(step);
      walk.finish();
    }),
    { numRuns: 400 },
  );
});
