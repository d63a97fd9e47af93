import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import {
  BATCH_PARTITION,
  BATCH_SIZE,
  REQUEST_ACK,
  REQUEST_FLAGS,
  REQUEST_ID,
  REQUEST_REPEATS,
  REQUEST_WAITS,
} from '../../../native-layout/batch.ts';
import { codeNumber } from '../../../src/base/codes.ts';
import { HELD_MAX_BYTES, PUBLISH_WINDOW_BYTES } from '../../../src/frontend/config.ts';
import { HeldBatches } from '../../../src/frontend/held-batches.ts';
import { type Lanes, PublishDesk, type Publisher } from '../../../src/frontend/publish-desk.ts';
import { RequestTable } from '../../../src/frontend/request-table.ts';
import { isRepeat, markRepeat, repeatFloor } from '../../../src/record/repeat.ts';
import { counters } from './support.ts';

const SIZE = 128;

/** Lanes that take so many bytes and remember what came. */
class FakeLanes implements Lanes {
  room: Record<number, number> = { 2: 0, 3: 0 };
  readonly put: { owner: number; mark: number; request: number }[] = [];
  readonly pushed: number[] = [];

  tryPut(owner: number, bytes: Uint8Array, lengthBytes: number): boolean {
    if (this.room[owner] < lengthBytes) return false;
    this.room[owner] -= lengthBytes;
    const words = new Int32Array(bytes.slice().buffer);
    expect(bytes.length).toBe(lengthBytes);
    expect(words[REQUEST_FLAGS >> 2]).toBe(0);
    this.put.push({ owner, mark: words[BATCH_PARTITION >> 2], request: words[REQUEST_ID >> 2] });
    return true;
  }
  push(owner: number): void {
    this.pushed.push(owner);
  }
}

class FakePublisher implements Publisher {
  readonly held = new HeldBatches();
  readonly answers: { request: number; status: number }[] = [];
  answered(request: number, status: number): void {
    this.answers.push({ request, status });
  }
}

function rig(room: number) {
  const lanes = new FakeLanes();
  lanes.room = { 2: room, 3: room };
  const desk = new PublishDesk(lanes, new RequestTable(), counters());
  /** Submits a batch that is known by `mark`. */
  const submit = (publisher: Publisher, owner: number, mark: number, size = SIZE, ack = 1): void => {
    const words = new Int32Array(size / 4);
    words[BATCH_SIZE >> 2] = size;
    words[BATCH_PARTITION >> 2] = mark;
    words[REQUEST_ID >> 2] = mark;
    words[REQUEST_ACK >> 2] = ack;
    words[REQUEST_FLAGS >> 2] = 1;
    desk.submit(publisher, owner, new Uint8Array(words.buffer), words, 0);
    desk.push();
  };
  return { lanes, desk, submit };
}

const marks = (lanes: FakeLanes, owner: number) =>
  lanes.put.filter((one) => one.owner === owner).map((one) => one.mark);

test('a batch goes into the lane under our number, and its answer comes back under the publisher’s', () => {
  const { lanes, desk, submit } = rig(1_000);
  const publisher = new FakePublisher();
  submit(publisher, 2, 77);
  expect(lanes.pushed).toEqual([2]);
  desk.completed(lanes.put[0].request, 0, 77, 500, 3);
  expect(publisher.answers).toEqual([{ request: 77, status: 0 }]);
});

test('a full lane holds batches as copies, and they go out in order when there is room', () => {
  const { lanes, desk, submit } = rig(SIZE);
  const publisher = new FakePublisher();
  for (let mark = 0; mark < 10; mark++) submit(publisher, 2, mark);
  expect(marks(lanes, 2)).toEqual([0]);
  expect(desk.holds).toBe(true);
  lanes.room[2] = 3 * SIZE;
  expect(desk.retry()).toBe(3 * SIZE);
  lanes.room[2] = 100 * SIZE;
  desk.retry();
  expect(marks(lanes, 2)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
  expect(desk.holds).toBe(false);
  expect(publisher.held.bytes).toBe(0);
});

test('I1: nothing of a publisher overtakes what waits of it, not even on another lane', () => {
  const { lanes, desk, submit } = rig(0);
  lanes.room[3] = 1_000;
  const publisher = new FakePublisher();
  submit(publisher, 2, 1);
  submit(publisher, 3, 2);
  expect(lanes.put).toEqual([]);
  lanes.room[2] = SIZE;
  desk.retry();
  expect(lanes.put.map((one) => one.mark)).toEqual([1, 2]);
});

test('I2: while somebody waits for a lane nobody else puts into it, and other lanes are free', () => {
  const { lanes, desk, submit } = rig(0);
  const [first, second] = [new FakePublisher(), new FakePublisher()];
  submit(first, 2, 1);
  lanes.room = { 2: 1_000, 3: 1_000 };
  submit(second, 2, 2);
  submit(new FakePublisher(), 3, 3);
  expect(marks(lanes, 2)).toEqual([]);
  expect(marks(lanes, 3)).toEqual([3]);
  desk.retry();
  expect(marks(lanes, 2)).toEqual([1, 2]);
});

test('I3: past its window a publisher is refused, past the window of all everybody is', () => {
  const { desk, submit } = rig(0);
  const large = 1024 * 1024;
  const publisher = new FakePublisher();
  for (let i = 0; i <= PUBLISH_WINDOW_BYTES / large; i++) submit(publisher, 2, i, large);
  expect(publisher.answers).toEqual([{ request: PUBLISH_WINDOW_BYTES / large, status: codeNumber('window-exceeded') }]);
  const silent = new FakePublisher();
  for (let i = 0; i <= PUBLISH_WINDOW_BYTES / large; i++) submit(silent, 2, i, large, 0);
  expect(silent.answers).toEqual([]);
  const others = Array.from({ length: HELD_MAX_BYTES / PUBLISH_WINDOW_BYTES }, () => new FakePublisher());
  for (const other of others) for (let i = 0; i < 8; i++) submit(other, 2, i, large);
  expect(others.at(-1)?.answers[0]).toEqual({ request: 0, status: codeNumber('lane-full') });
  expect(desk.holds).toBe(true);
});

// The larger ones wait in memory that is used again.
test.each([SIZE, 40 * 1024])(
  'whatever happens, batches of one publisher (%i bytes) arrive in order, each once',
  (size) => {
    const action = fc.oneof(
      fc.record({ who: fc.nat(2), owner: fc.constantFrom(2, 3) }),
      fc.record({ room: fc.nat(5), owner: fc.constantFrom(2, 3) }),
    );
    fc.assert(
      fc.property(fc.array(action, { maxLength: 200 }), (actions) => {
        const { lanes, desk, submit } = rig(0);
        const publishers = [new FakePublisher(), new FakePublisher(), new FakePublisher()];
        const sent = new Map<string, number[]>();
        let mark = 0;
        for (const one of actions) {
          if ('who' in one) {
            const key = `${one.who}`;
            sent.set(key, [...(sent.get(key) ?? []), mark]);
            submit(publishers[one.who], one.owner, mark++, size);
          } else {
            lanes.room[one.owner] += one.room * size;
            desk.retry();
          }
        }
        lanes.room = { 2: 1_000 * size, 3: 1_000 * size };
        desk.retry();
        expect(desk.holds).toBe(false);
        const arrived = lanes.put.map((one) => one.mark);
        for (const list of sent.values()) expect(arrived.filter((one) => list.includes(one))).toEqual(list);
        expect(arrived).toHaveLength(mark);
      }),
    );
  },
);

test('workers are shown at once what is much, and the rest at the end of the turn', () => {
  const { lanes, desk } = rig(10 * 1024 * 1024);
  const size = 64 * 1024;
  const words = new Int32Array(size / 4);
  words[BATCH_SIZE >> 2] = size;
  for (let i = 0; i < 11; i++) {
    desk.submit(new FakePublisher(), 2, new Uint8Array(words.buffer), words, 0);
    desk.pushMuch();
    expect(lanes.pushed).toEqual(i < 7 ? [] : [2]);
  }
  desk.push();
  expect(lanes.pushed).toEqual([2, 2]);
});

test('what was put out is let go of, also where something always waits', () => {
  const held = new HeldBatches();
  const batch = () => ({ bytes: new Uint8Array(8), words: new Int32Array(2), lengthBytes: 8, owner: 2, request: 0 });
  for (let i = 0; i < 10; i++) held.put(batch());
  for (let i = 0; i < 5_000; i++) {
    const one = batch();
    one.request = 10 + i;
    held.put(one);
    expect(held.first.request).toBe(i < 10 ? 0 : i);
    held.shift();
  }
  expect({ count: held.count, bytes: held.bytes }).toEqual({ count: 10, bytes: 80 });
  const { batches } = held as unknown as { readonly batches: readonly unknown[] };
  expect(batches.length).toBeLessThan(1_000);
});

test('a batch that is sent again keeps its floor, and nothing that only threads of the broker may ask for', () => {
  const sent: (number | boolean)[][] = [];
  const lanes: Lanes = {
    tryPut: (_owner, bytes) => {
      const words = new Int32Array(bytes.slice().buffer);
      sent.push([isRepeat(words, 0), repeatFloor(words, 0), words[REQUEST_FLAGS >> 2] & REQUEST_WAITS]);
      return true;
    },
    push: () => {},
  };
  const desk = new PublishDesk(lanes, new RequestTable(), counters());
  for (const repeats of [true, false]) {
    const words = new Int32Array(SIZE / 4);
    words[BATCH_SIZE >> 2] = SIZE;
    words[REQUEST_ACK >> 2] = 1;
    markRepeat(words, 0, 2 ** 40 + 5);
    words[REQUEST_FLAGS >> 2] |= REQUEST_WAITS;
    if (!repeats) words[REQUEST_FLAGS >> 2] &= ~REQUEST_REPEATS;
    desk.submit(new FakePublisher(), 2, new Uint8Array(words.buffer), words, 0);
  }
  expect(sent).toEqual([
    [true, 2 ** 40 + 5, 0],
    [false, 0, 0],
  ]);
});
