import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { RingmqError } from '../../../src/base/codes.ts';
import { decodeFrame, encodeAck, encodeFrame } from '../../../src/wire/codec.ts';
import type { AckEntry, Command } from '../../../src/wire/commands.ts';
import { COMMAND_ITEMS_MAX, isCommand, POSITIONS_MAX } from '../../../src/wire/frame.ts';
import { anyFrame, COMMAND_TYPES, framesOf } from './arbitraries.ts';

const RUNS = 200;

/** The same bytes, `before` bytes into a larger buffer. */
function shifted(bytes: Uint8Array, before: number, buffer: ArrayBufferLike): Uint8Array {
  const view = new Uint8Array(buffer, before, bytes.length);
  view.set(bytes);
  return view;
}

describe('round trip', () => {
  test.each(COMMAND_TYPES)('%s comes back as it was sent', (type) => {
    fc.assert(
      fc.property(framesOf(type), (frame) => {
        const bytes = encodeFrame(frame);
        expect(bytes.length % 8).toBe(0);
        expect(isCommand(bytes)).toBe(true);
        const view = new DataView(bytes.buffer, bytes.byteOffset);
        expect([view.getInt32(0, true), view.getInt32(4, true)]).toEqual([-1, bytes.length]);
        expect(decodeFrame(bytes)).toEqual(frame);
      }),
      { numRuns: RUNS },
    );
  });

  test('a frame is read at any place of any kind of memory', () => {
    fc.assert(
      fc.property(anyFrame, fc.integer({ min: 0, max: 17 }), (frame, before) => {
        const bytes = encodeFrame(frame);
        const size = bytes.length + 32;
        expect(decodeFrame(shifted(bytes, before, new ArrayBuffer(size)))).toEqual(frame);
        expect(decodeFrame(shifted(bytes, before, new SharedArrayBuffer(size)))).toEqual(frame);
        const node = Buffer.alloc(size).fill(bytes, before, before + bytes.length);
        expect(decodeFrame(node.subarray(before, before + bytes.length))).toEqual(frame);
      }),
      { numRuns: RUNS },
    );
  });

  test('frames share no memory with the writer: one frame does not change the one before', () => {
    const first = encodeFrame({ correlation: 1, command: { type: 'ping', time: 1 } });
    const copy = first.slice();
    encodeFrame({ correlation: 2, command: { type: 'hello', client: 'x'.repeat(200_000), version: '', token: '' } });
    encodeFrame({ correlation: 3, command: { type: 'ping', time: 2 } });
    expect(first).toEqual(copy);
  });

  test('a byte order mark belongs to the text', () => {
    const command: Command = { type: 'open-direct', topic: '\ufeffa' };
    expect(decodeFrame(encodeFrame({ correlation: 0, command })).command).toEqual(command);
  });

  test('encodeAck gives the frame of the command ack', () => {
    const entries: AckEntry[] = [{ request: 1, status: 0, partition: 2, count: 3, baseOffset: 4 }];
    expect(decodeFrame(encodeAck(entries))).toEqual({ correlation: 0, command: { type: 'ack', entries } });
  });
});

describe('batches of a pull reply', () => {
  const reply = (batches: Uint8Array): Command => {
    return { type: 'pull-reply', id: 1, number: 0, epoch: 1, nextOffset: 5, gap: false, batches };
  };

  function decodedBatches(bytes: Uint8Array): Uint8Array {
    const { command } = decodeFrame(bytes);
    if (command.type !== 'pull-reply') throw new Error(`unexpected ${command.type}`);
    return command.batches;
  }

  test('stand 8-byte aligned in the frame', () => {
    for (let length = 1; length <= 64; length++) {
      const bytes = encodeFrame({ correlation: 9, command: reply(new Uint8Array(length).fill(0xab)) });
      expect(bytes.byteOffset % 8).toBe(0);
      expect(bytes.indexOf(0xab) % 8, `length ${length}`).toBe(0);
    }
  });

  test('are 8-byte aligned after decoding and belong to the caller', () => {
    const batches = new Uint8Array(64).fill(7);
    const bytes = encodeFrame({ correlation: 9, command: reply(batches) });
    for (let before = 0; before < 9; before++) {
      const views = [new ArrayBuffer(bytes.length + 16), new SharedArrayBuffer(bytes.length + 16)].map((buffer) => {
        return shifted(bytes, before, buffer);
      });
      for (const view of [...views, Buffer.from(views[0].buffer as ArrayBuffer, before, bytes.length)]) {
        const decoded = decodedBatches(view);
        expect(decoded.byteOffset % 8).toBe(0);
        const saved = decoded.slice();
        view.fill(0);
        expect(decoded).toEqual(saved);
        view.set(bytes);
      }
    }
  });

  test('may come from shared memory and be large', () => {
    const batches = new Uint8Array(new SharedArrayBuffer(3_000_000)).fill(1);
    const bytes = encodeFrame({ correlation: 9, command: reply(batches) });
    expect(bytes.length).toBeLessThan(batches.length + 256);
    expect(decodedBatches(bytes).length).toBe(batches.length);
  });
});

describe('the encoder refuses by name what the decoder would refuse', () => {
  const ack = { request: 1, status: 0, partition: 2, count: 3, baseOffset: 4 };
  const subscribe = {
    type: 'subscribe',
    subscription: 1,
    topic: 't',
    partitions: [],
    windowBytes: 0,
    filter: '',
  } as const;
  const at = { partition: 0, epoch: 0, offset: 0 };
  const cases: readonly (readonly [string, Command])[] = [
    ['time', { type: 'ping', time: Number.NaN }],
    ['time', { type: 'ping', time: -1 }],
    ['time', { type: 'ping', time: 2 ** 53 }],
    ['bytes', { type: 'credit', bytes: -1 }],
    ['bytes', { type: 'credit', bytes: 1.5 }],
    ['baseOffset', { type: 'ack', entries: [{ ...ack, baseOffset: -2 }] }],
    ['count', { type: 'ack', entries: [ack, { ...ack, count: 2 ** 31 }] }],
    ['from.offset', { ...subscribe, from: { offset: 1e300 } }],
    ['from.last', { ...subscribe, from: { last: -1 } }],
    ['from', { ...subscribe, from: 'newest' as 'latest' }],
    ['partitions', { ...subscribe, from: 'latest', partitions: [0, -1] }],
    ['permission', { type: 'set-permission', topic: '', owner: 1, permission: 8 }],
    ['from.time', { ...subscribe, from: { time: -1 } }],
    ['retentionMs', { type: 'set-retention', topic: 't', retentionMs: -1, retentionBytes: 0 }],
    ['retentionBytes', { type: 'set-retention', topic: 't', retentionMs: 0, retentionBytes: 0.5 }],
    ['positions', { type: 'commit-offsets', group: 'g', topic: 't', positions: new Array(POSITIONS_MAX + 1).fill(at) }],
    ['offset', { type: 'offsets-reply', positions: [{ ...at, offset: -2 }] }],
    ['limit', { type: 'query', topic: 't', key: '', fromTime: 0, toTime: 0, limit: 1001 }],
    ['matches', { type: 'query-reply', matches: new Array(1001).fill({ ...at, storedAt: 1 }), more: false }],
    ['storedAt', { type: 'query-reply', matches: [{ ...at, storedAt: -1 }], more: false }],
    ['entries', { type: 'ack', entries: new Array(COMMAND_ITEMS_MAX + 1).fill(ack) }],
  ];

  test.each(cases)('%s', (name, command) => {
    expect(() => encodeFrame({ correlation: 1, command })).toThrow(RingmqError);
    expect(() => encodeFrame({ correlation: 1, command })).toThrow(new RegExp(`^${name.replace('.', '\\.')}: `));
  });

  test('and the next frame is not harmed by it', () => {
    const frame = { correlation: 3, command: { type: 'ping', time: 5 } } as const;
    expect(decodeFrame(encodeFrame(frame))).toEqual(frame);
  });
});
