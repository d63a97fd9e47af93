// Frames that nobody honest wrote: whatever the bytes, decodeFrame() gives a valid frame or throws a RingmqError, soon.
import * as fc from 'fast-check';
import * as flatbuffers from 'flatbuffers';
import { describe, expect, test } from 'vitest';
import { CommitOffsets } from '../../../native-layout/generated/ringmq/commit-offsets.ts';
import { PartitionRoute } from '../../../native-layout/generated/ringmq/partition-route.ts';
import { Position } from '../../../native-layout/generated/ringmq/position.ts';
import { Query } from '../../../native-layout/generated/ringmq/query.ts';
import { RouteReply } from '../../../native-layout/generated/ringmq/route-reply.ts';
import { TopicsReply } from '../../../native-layout/generated/ringmq/topics-reply.ts';
import { RingmqError } from '../../../src/base/codes.ts';
import { decodeFrame, encodeFrame } from '../../../src/wire/codec.ts';
import type { CommandType, Frame } from '../../../src/wire/commands.ts';
import { COMMAND_ITEMS_MAX, COMMAND_NUMBERS, CommandError, POSITIONS_MAX } from '../../../src/wire/frame.ts';
import { anyFrame, COMMAND_TYPES, framesOf } from './arbitraries.ts';

/** Decodes, and returns undefined if it was refused as it should be. Any other error fails the test. */
function tryDecode(bytes: Uint8Array): Frame | undefined {
  try {
    return decodeFrame(bytes);
  } catch (error) {
    if (!(error instanceof CommandError)) throw error;
    expect(['malformed-command', 'unknown-command']).toContain(error.code);
    return undefined;
  }
}

function refusal(bytes: Uint8Array): CommandError {
  try {
    decodeFrame(bytes);
  } catch (error) {
    expect(error).toBeInstanceOf(CommandError);
    expect(error).toBeInstanceOf(RingmqError);
    return error as CommandError;
  }
  throw new Error('the frame was accepted');
}

function samples(type: CommandType, count: number): Frame[] {
  return fc.sample(framesOf(type), { numRuns: count, seed: 7 });
}

/** Items and characters that a decoded value holds: its size in memory, up to a small factor. */
function weigh(value: unknown): number {
  if (typeof value === 'string') return value.length;
  if (value instanceof Uint8Array) return value.length;
  if (typeof value !== 'object' || value === null) return 1;
  return Object.values(value).reduce((sum: number, member) => sum + weigh(member), 1);
}

/** Wraps a finished command table (one that `build` returns) into a frame. */
function frameOf(type: CommandType, build: (builder: flatbuffers.Builder) => flatbuffers.Offset): Uint8Array {
  const builder = new flatbuffers.Builder(1024);
  builder.prep(8, 0);
  const body = build(builder);
  builder.startObject(3);
  builder.addFieldInt32(0, 77, 0);
  builder.addFieldInt8(1, COMMAND_NUMBERS[type], 0);
  builder.addFieldOffset(2, body, 0);
  builder.finish(builder.endObject(), 'RMQC');
  const flat = builder.asUint8Array();
  const bytes = new Uint8Array(flat.length + 8);
  new DataView(bytes.buffer).setInt32(0, -1, true);
  new DataView(bytes.buffer).setInt32(4, bytes.length, true);
  bytes.set(flat, 8);
  return bytes;
}

describe('truncated', () => {
  test.each(COMMAND_TYPES)('%s, cut at every byte, is refused', (type) => {
    for (const frame of samples(type, 5)) {
      const bytes = encodeFrame(frame);
      for (let length = 0; length < bytes.length; length++) {
        expect(refusal(bytes.slice(0, length)).code).toBe('malformed-command');
      }
    }
  });

  test.each(COMMAND_TYPES)('%s, cut at every byte with its length made to fit, never reads outside', (type) => {
    for (const frame of samples(type, 5)) {
      const bytes = encodeFrame(frame);
      for (let length = 8; length < bytes.length; length += 8) {
        const cut = bytes.slice(0, length);
        new DataView(cut.buffer).setInt32(4, length, true);
        tryDecode(cut);
      }
    }
  });
});

describe('mutated', () => {
  test('1 to 8 changed bytes give a valid frame or a refusal', () => {
    const changes = fc.array(fc.tuple(fc.nat(), fc.integer({ min: 0, max: 255 })), { minLength: 1, maxLength: 8 });
    fc.assert(
      fc.property(anyFrame, changes, (frame, edits) => {
        const bytes = encodeFrame(frame);
        for (const [place, value] of edits) bytes[place % bytes.length] = value;
        const decoded = tryDecode(bytes);
        if (decoded === undefined) return;
        expect(weigh(decoded)).toBeLessThan(bytes.length * 4 + 64);
        // What was decoded is a valid frame: it can be sent again.
        expect(decodeFrame(encodeFrame(decoded))).toEqual(decoded);
      }),
      { numRuns: 5000 },
    );
  });

  test('every single byte set to 0, 1, 127, 128 and 255', () => {
    for (const type of COMMAND_TYPES) {
      const [frame] = samples(type, 1);
      const original = encodeFrame(frame);
      for (let place = 0; place < original.length; place++) {
        for (const value of [0, 1, 127, 128, 255]) {
          const bytes = original.slice();
          bytes[place] = value;
          tryDecode(bytes);
        }
      }
    }
  });

  test('every word set to values that overflow', () => {
    for (const type of COMMAND_TYPES) {
      const [frame] = samples(type, 1);
      const original = encodeFrame(frame);
      for (let place = 8; place < original.length; place += 4) {
        for (const value of [-1, 0x7fffffff, -0x80000000, 0x40000000, original.length, original.length - 4]) {
          const bytes = original.slice();
          new DataView(bytes.buffer).setInt32(place, value, true);
          tryDecode(bytes);
        }
      }
    }
  });

  test('random bytes behind a valid header', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 16, maxLength: 400 }), (noise) => {
        tryDecode(noise);
        const bytes = new Uint8Array((noise.length + 23) & ~7);
        bytes.set(noise, 16);
        const view = new DataView(bytes.buffer);
        view.setInt32(0, -1, true);
        view.setInt32(4, bytes.length, true);
        view.setInt32(8, 8 + (noise[0] & 0x7c), true);
        view.setInt32(12, 0x43514d52, true);
        tryDecode(bytes);
      }),
      { numRuns: 5000 },
    );
  });
});

describe('built to cost much', () => {
  test('a vector that claims 4 billion items is refused before anything is allocated', () => {
    const frame: Frame = { correlation: 5, command: { type: 'ack', entries: [] } };
    const [ack] = samples('ack', 20).filter(({ command }) => command.type === 'ack' && command.entries.length > 0);
    for (const each of [frame, ack]) {
      const original = encodeFrame(each);
      for (let place = 16; place < original.length; place += 4) {
        const bytes = original.slice();
        new DataView(bytes.buffer).setUint32(place, 0xffffffff, true);
        tryDecode(bytes);
      }
    }
    const bytes = encodeFrame(ack);
    const count = ack.command.type === 'ack' ? ack.command.entries.length : 0;
    const words = new DataView(bytes.buffer);
    // The count stands 4 bytes before the first entry, whose request number finds it.
    const request = ack.command.type === 'ack' ? ack.command.entries[0].request : 0;
    const places = Array.from({ length: bytes.length / 4 - 1 }, (_, i) => i * 4);
    const at = places.find((i) => words.getInt32(i, true) === count && words.getInt32(i + 4, true) === request);
    words.setUint32(at!, 0xffffffff, true);
    expect(refusal(bytes).message).toMatch(/entries runs past the end/);
  });

  test('a table that is listed ten thousand times is refused', () => {
    const bytes = frameOf('topics-reply', (builder) => {
      const partition = PartitionRoute.createPartitionRoute(builder, 1, 0, 0, 0, 6, true, 5n, 0n, 0);
      const partitions = RouteReply.createPartitionsVector(builder, new Array(1000).fill(partition));
      const topic = builder.createString('t'.repeat(100));
      const route = RouteReply.createRouteReply(builder, topic, 1, 1, 0, 0, 0, false, partitions, false, 0n, 0n);
      const topics = TopicsReply.createTopicsVector(builder, new Array(10_000).fill(route));
      return TopicsReply.createTopicsReply(builder, topics, false);
    });
    expect(refusal(bytes).message).toMatch(/repeats more bytes than the frame has/);
  });

  test('more items than a command may have are refused', () => {
    const bytes = frameOf('subscribe', (builder) => {
      const topic = builder.createString('t');
      builder.startVector(4, COMMAND_ITEMS_MAX + 1, 4);
      for (let i = 0; i <= COMMAND_ITEMS_MAX; i++) builder.addInt32(i);
      const partitions = builder.endVector();
      builder.startObject(8);
      builder.addFieldOffset(1, topic, 0);
      builder.addFieldOffset(6, partitions, 0);
      return builder.endObject();
    });
    expect(refusal(bytes).message).toMatch(/at most 65536 items/);
  });

  test('more positions than a commit may have, and a limit beyond the largest, are refused', () => {
    const commit = frameOf('commit-offsets', (builder) => {
      const name = builder.createString('t');
      builder.startVector(16, POSITIONS_MAX + 1, 8);
      for (let i = 0; i <= POSITIONS_MAX; i++) Position.createPosition(builder, i, 1, 2n);
      const positions = builder.endVector();
      return CommitOffsets.createCommitOffsets(builder, name, name, positions);
    });
    expect(refusal(commit).message).toBe('positions: at most 4096 are taken, these are 4097');
    const query = frameOf('query', (builder) => Query.createQuery(builder, builder.createString('t'), 0, 0n, 0n, 1001));
    expect(refusal(query).message).toBe('limit is 1001, above 1000');
  });

  test('the most hostile megabyte is read in bounded time', () => {
    const bytes = frameOf('topics-reply', (builder) => {
      const topic = builder.createString('');
      const routes: number[] = [];
      for (let i = 0; i < 60_000; i++) {
        builder.startObject(8);
        builder.addFieldOffset(0, topic, 0);
        routes.push(builder.endObject());
      }
      return TopicsReply.createTopicsReply(builder, TopicsReply.createTopicsVector(builder, routes), false);
    });
    expect(bytes.length).toBeGreaterThan(500_000);
    const started = performance.now();
    tryDecode(bytes);
    expect(performance.now() - started).toBeLessThan(2000);
  });
});

describe('wrong in one place', () => {
  // A ping with correlation 7. Root offset at 8, identifier at 12; the root's vtable at 18 says: 10 bytes of vtable, a
  // table of 18 bytes, then the distances of correlation, type and command. The root table is at 28.
  const PING =
    'ffffffff4000000014000000524d514300000a0012000c000b0004000a00000014000000000000140700000000000600' +
    '0c00040006000000141a99be1c000000';

  test.each([
    ['the mark', 0, 0xfe, /^no command starts with mark -1$/],
    ['the length, too large', 4, 72, /^the length says 72, the frame has 64$/],
    ['the length, too small', 4, 56, /^the length says 56, the frame has 64$/],
    ['the identifier', 12, 0x53, /^the identifier is not RMQC$/],
    ['the root, nowhere', 8, 0, /^frame points nowhere$/],
    ['the root, not aligned', 8, 0x16, /^frame points nowhere$/],
    ['the root, behind the end', 8, 0x38, /^frame points nowhere$/],
    ['the vtable, in the header', 28, 22, /^frame has no vtable$/],
    ['the vtable, not aligned', 28, 9, /^frame has no vtable$/],
    ['the vtable, too short', 18, 2, /^frame has a broken vtable$/],
    ['the vtable, odd', 18, 9, /^frame has a broken vtable$/],
    ['the vtable, past the end', 18, 48, /^frame has a broken vtable$/],
    ['the table, too short', 20, 2, /^frame has a broken vtable$/],
    ['the table, past the end', 20, 40, /^frame runs past the end of the frame$/],
    ['a field over the table start', 24, 1, /^command type is misplaced$/],
    ['a field past the table end', 22, 16, /^correlation is misplaced$/],
    ['a field not aligned', 22, 13, /^correlation is misplaced$/],
    ['the command, nowhere', 32, 0, /^command points nowhere$/],
    ['the command, missing', 26, 0, /^command is missing$/],
  ])('%s', (_, place, value, message) => {
    const bytes = Uint8Array.from(Buffer.from(PING, 'hex'));
    expect(decodeFrame(bytes)).toEqual({ correlation: 7, command: { type: 'ping', time: 123_456_789_012 } });
    bytes[place] = value;
    expect(refusal(bytes).message).toMatch(message);
  });

  test('a length that is no multiple of 8', () => {
    const bytes = new Uint8Array(68);
    bytes.set(Buffer.from(PING, 'hex'));
    bytes[4] = 68;
    expect(refusal(bytes).message).toBe('the length is no multiple of 8');
  });

  test('text without its final 0, inside the frame and at its very end', () => {
    const bytes = encodeFrame({ correlation: 1, command: { type: 'open-direct', topic: 'abc' } });
    const end = Buffer.from(bytes).indexOf('abc') + 3;
    bytes[end] = 1;
    expect(refusal(bytes).message).toBe('topic does not end with 0');
    const last = encodeFrame({ correlation: 1, command: { type: 'open-direct', topic: 'abcdefg' } });
    const at = Buffer.from(last).indexOf('abcdefg');
    const length = last.length - at;
    last.fill(0x61, at);
    last[at - 4] = length;
    expect(refusal(last).message).toBe('topic does not end with 0');
  });

  test('an unknown command is unknown-command and names its request', () => {
    const known = encodeFrame({ correlation: 4711, command: { type: 'done' } });
    const place = known.lastIndexOf(COMMAND_NUMBERS.done);
    known[place] = 32;
    expect(refusal(known)).toMatchObject({ code: 'unknown-command', correlation: 4711, number: 401 });
    known[place] = 255;
    expect(refusal(known).code).toBe('unknown-command');
    known[place] = 0;
    expect(refusal(known).code).toBe('malformed-command');
  });

  test('a refusal names its request as soon as it was read', () => {
    const bytes = frameOf('route-request', (builder) => {
      builder.startObject(2);
      return builder.endObject();
    });
    expect(refusal(bytes)).toMatchObject({ code: 'malformed-command', correlation: 77, message: 'topic is missing' });
  });

  test('text must be UTF-8', () => {
    const bytes = frameOf('open-direct', (builder) => {
      const topic = builder.createString(new Uint8Array([0xc3, 0x28]));
      builder.startObject(1);
      builder.addFieldOffset(0, topic, 0);
      return builder.endObject();
    });
    expect(refusal(bytes).message).toBe('topic is not UTF-8');
  });

  test.each([
    ['2^53', 2n ** 53n],
    ['-1', -1n],
    ['the largest int64', 2n ** 63n - 1n],
    ['the smallest int64', -(2n ** 63n)],
  ])('a time of %s is refused', (_, value) => {
    const bytes = frameOf('ping', (builder) => {
      builder.startObject(1);
      builder.addFieldInt64(0, value, 0n);
      return builder.endObject();
    });
    expect(refusal(bytes).message).toBe('time is out of range');
  });

  test.each([
    ['overflow', 'create-topic', 2, 3],
    ['start', 'pull', 4, 3],
    ['permission', 'set-permission', 2, 8],
    ['reason', 'gap', 5, 5],
    ['durable', 'create-topic', 6, 3],
  ] as const)('%s beyond its last value is refused', (name, type, slot, value) => {
    const bytes = frameOf(type, (builder) => {
      const topic = builder.createString('t');
      builder.startObject(7);
      if (type !== 'gap') builder.addFieldOffset(0, topic, 0);
      builder.addFieldInt8(slot, value, 0);
      return builder.endObject();
    });
    expect(refusal(bytes).message).toBe(`${name} is ${value}, above ${value - 1}`);
  });

  test('fields of a newer schema are skipped', () => {
    const bytes = frameOf('credit', (builder) => {
      builder.startObject(3);
      builder.addFieldInt32(0, 9, 0);
      builder.addFieldInt64(2, 5n, 0n);
      return builder.endObject();
    });
    expect(decodeFrame(bytes)).toEqual({ correlation: 77, command: { type: 'credit', bytes: 9 } });
  });

  test('a batch is no command', () => {
    const batch = new Uint8Array(64);
    batch[0] = 64;
    expect(refusal(batch).code).toBe('malformed-command');
  });
});
