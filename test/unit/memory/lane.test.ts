import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { LANE_CONTROL_BYTES, LANE_TAIL, LANE_WRAP } from '../../../native-layout/lane.ts';
import { FULL, LaneReader, LaneWriter, NONE } from '../../../src/memory/lane.ts';
import { lane, NEAR_WRAP, send } from './support.ts';

describe.each([0, NEAR_WRAP])('a lane whose cursors start at %i', (start) => {
  test('an empty lane has nothing to look at', () => {
    const { reader } = lane(64, start);
    expect(reader.hasNews).toBe(false);
    expect(reader.look()).toBe(NONE);
    expect(reader.release()).toBe(false);
  });

  test('I1: a committed frame is not seen before publish', () => {
    const { writer, reader } = lane(64, start);
    send(writer, 16, 7);
    expect(reader.look()).toBe(NONE);
    expect(writer.publish()).toBe(true);
    expect(reader.hasNews).toBe(true);
    const at = reader.look();
    expect(at).toBe(reader.data + (start & 63));
    expect(reader.frameLength).toBe(16);
    expect(reader.words[(at >> 2) + 1]).toBe(7);
  });

  test('publish says whether there was anything to show', () => {
    const { writer } = lane(64, start);
    expect(writer.publish()).toBe(false);
    send(writer, 8, 1);
    expect(writer.publish()).toBe(true);
    expect(writer.publish()).toBe(false);
  });

  test('looking twice finds the same frame until it is consumed', () => {
    const { writer, reader } = lane(64, start);
    send(writer, 16, 1);
    send(writer, 24, 2);
    writer.publish();
    expect(reader.look()).toBe(reader.look());
    reader.consume();
    reader.look();
    expect(reader.frameLength).toBe(24);
  });

  test('I2: a full lane answers FULL until the consumer releases', () => {
    const { writer, reader } = lane(64, start);
    expect([1, 2, 3, 4].map((mark) => send(writer, 16, mark))).toEqual([true, true, true, true]);
    expect(writer.tryClaim(8)).toBe(FULL);
    writer.publish();
    reader.look();
    reader.consume();
    expect(writer.tryClaim(8)).toBe(FULL);
    expect(writer.pendingBytes).toBe(64);
    expect(reader.release()).toBe(true);
    expect(writer.pendingBytes).toBe(48);
    expect(writer.tryClaim(16)).not.toBe(FULL);
    expect(writer.tryClaim(24)).toBe(FULL);
  });

  test('a frame that does not fit before the end begins at the start, behind a wrap mark', () => {
    const { writer, reader } = lane(64, start & ~63);
    for (const length of [24, 24]) send(writer, length, 0);
    writer.publish();
    for (let i = 0; i < 2; i++) {
      reader.look();
      reader.consume();
    }
    reader.release();
    expect(send(writer, 32, 9)).toBe(true);
    expect(writer.words[(writer.data + 48) >> 2]).toBe(LANE_WRAP);
    writer.publish();
    expect(reader.look()).toBe(reader.data);
    expect(reader.frameLength).toBe(32);
  });

  test('I4: frames of all sizes come out as they went in, across many wraps', () => {
    const sizes = fc.array(fc.integer({ min: 1, max: 8 }), { minLength: 1, maxLength: 200 });
    fc.assert(
      fc.property(sizes, fc.integer({ min: 1, max: 5 }), (frames, batch) => {
        const { writer, reader } = lane(128, start);
        const got: number[] = [];
        for (const [mark, eighths] of frames.entries()) {
          while (!send(writer, eighths * 8, mark)) {
            expect(writer.publish() || got.length < mark).toBe(true);
            got.push(...takeAll(reader));
          }
          if (mark % batch === 0) writer.publish();
          expect(writer.pendingBytes).toBeLessThanOrEqual(128);
        }
        writer.publish();
        got.push(...takeAll(reader));
        expect(got).toEqual(frames.map((_, mark) => mark));
      }),
    );

    function takeAll(reader: LaneReader): number[] {
      const marks: number[] = [];
      for (let at = reader.look(); at !== NONE; at = reader.look()) {
        marks.push(reader.words[(at >> 2) + 1]);
        reader.consume();
      }
      reader.release();
      return marks;
    }
  });
});

test('a frame may be as large as half of the lane, wherever the cursors stand', () => {
  for (let before = 8; before <= 64; before += 8) {
    const { writer, reader } = lane(128);
    expect(writer.frameMax).toBe(64);
    send(writer, before, 0);
    writer.publish();
    reader.look();
    reader.consume();
    reader.release();
    expect(send(writer, 64, 1)).toBe(true);
  }
});

test('I3: what a dead producer committed but did not publish is not there for its successor', () => {
  const { writer, reader, words } = lane(64);
  send(writer, 16, 1);
  writer.publish();
  send(writer, 16, 2);
  const successor = new LaneWriter(words, writer.bytes, { byte: 0, capacity: 64 });
  send(successor, 24, 3);
  successor.publish();
  reader.look();
  reader.consume();
  const at = reader.look();
  expect([reader.frameLength, words[(at >> 2) + 1]]).toEqual([24, 3]);
});

test('a successor of a dead consumer sees again what was consumed but not released', () => {
  const { writer, reader, words } = lane(64);
  send(writer, 16, 1);
  send(writer, 16, 2);
  writer.publish();
  reader.look();
  reader.consume();
  reader.release();
  reader.look();
  reader.consume();
  const successor = new LaneReader(words, reader.bytes, { byte: 0, capacity: 64 });
  expect(words[(successor.look() >> 2) + 1]).toBe(2);
});

test('a wrap mark that was published without a frame behind it is stepped over', () => {
  const { writer, reader } = lane(64);
  for (const length of [24, 24]) send(writer, length, 0);
  writer.publish();
  reader.look();
  reader.consume();
  reader.look();
  reader.consume();
  reader.release();
  expect(writer.tryClaim(32)).toBe(writer.data);
  writer.publish();
  expect(reader.hasNews).toBe(true);
  expect(reader.look()).toBe(NONE);
  expect(reader.hasNews).toBe(false);
});

test('a frame length that cannot be is a Fault', () => {
  for (const length of [0, 12, 72, -8]) {
    const { words, reader } = lane(64);
    words[LANE_CONTROL_BYTES >> 2] = length;
    words[LANE_TAIL] = 16;
    expect(() => reader.look()).toThrow('broken frame length');
  }
});

test('a capacity that is no power of two is a Fault', () => {
  const buffer = new SharedArrayBuffer(512);
  const views = [new Int32Array(buffer), new Uint8Array(buffer)] as const;
  expect(() => new LaneWriter(...views, { byte: 0, capacity: 96 })).toThrow('power of two');
});

test('a lane inside a region leaves the bytes around it alone', () => {
  const words = new Int32Array(new SharedArrayBuffer(2048));
  const bytes = new Uint8Array(words.buffer);
  const place = { byte: 512, capacity: 64 };
  const writer = new LaneWriter(words, bytes, place);
  for (const mark of [1, 2, 3, 4]) send(writer, 16, mark);
  writer.publish();
  const end = 512 + LANE_CONTROL_BYTES + 64;
  expect(bytes.subarray(0, 512).every((byte) => byte === 0)).toBe(true);
  expect(bytes.subarray(end).every((byte) => byte === 0)).toBe(true);
  expect(words[128 + LANE_TAIL]).toBe(64);
});

test('hasRoom counts what frames fill together, and sees what the consumer gave back', () => {
  const { writer, reader } = lane(64);
  expect([writer.hasRoom(64), writer.hasRoom(72)]).toEqual([true, false]);
  send(writer, 32, 1);
  writer.publish();
  expect([writer.hasRoom(32), writer.hasRoom(40)]).toEqual([true, false]);
  reader.look();
  reader.consume();
  expect(writer.hasRoom(64)).toBe(false);
  reader.release();
  expect(writer.hasRoom(64)).toBe(true);
});
