// One command frame being built: a FlatBuffers builder plus the checks that keep what we send readable by
// decodeFrame(). A value out of range is the caller's mistake (an option, an argument of the API): it is
// refused with its name.
import * as flatbuffers from 'flatbuffers';
import { ALIGN_BYTES, align8 } from '../../native-layout/layout.ts';
import { RingmqError } from '../base/codes.ts';
import { COMMAND_HEADER_BYTES, COMMAND_ITEMS_MAX, COMMAND_MARK } from './frame.ts';

type Place = flatbuffers.Offset;

const SHARED_BYTES = 1024;
/** A builder that grew larger than this for one frame is not kept. */
const SHARED_BYTES_MAX = 64 * 1024;
/** Room for everything of a pull reply besides its batches. */
const REPLY_BYTES = 256;

const UINT32_MAX = 0xffff_ffff;
const INT32_MIN = -2_147_483_648;
const INT32_MAX = 2_147_483_647;

// Building is synchronous and a module is instantiated once per thread: one builder serves all frames of the
// thread.
let shared = new flatbuffers.Builder(SHARED_BYTES);

export class FrameWriter {
  readonly builder: flatbuffers.Builder;
  private readonly own: boolean;
  private itemsLeft = COMMAND_ITEMS_MAX;

  /**
   * `payloadBytes`: size of the batches in the frame. A frame with batches gets memory of its own, just
   * enough.
   */
  constructor(payloadBytes: number) {
    this.own = payloadBytes > 0;
    this.builder = this.own ? new flatbuffers.Builder(align8(payloadBytes) + REPLY_BYTES) : shared;
    this.builder.clear();
    // FlatBuffers are built from the end. Asking for the alignment first makes the length a multiple of 8.
    this.builder.prep(ALIGN_BYTES, 0);
  }

  /** The frame, after the root was finished. */
  seal(): Uint8Array {
    const { builder } = this;
    builder.addInt32(builder.offset() + COMMAND_HEADER_BYTES);
    builder.addInt32(COMMAND_MARK);
    const buffer = builder.dataBuffer();
    buffer.setPosition(buffer.capacity() - builder.offset());
    if (this.own) return builder.asUint8Array();
    const frame = builder.asUint8Array().slice();
    if (buffer.capacity() > SHARED_BYTES_MAX) shared = new flatbuffers.Builder(SHARED_BYTES);
    return frame;
  }

  /** Text that may be left out when empty. */
  text(value: string): Place {
    return value === '' ? 0 : this.builder.createString(value);
  }

  /** Text of a field that the schema requires. */
  requiredText(value: string): Place {
    return this.builder.createString(value);
  }

  /** Bytes that start 8-byte aligned in the frame. */
  alignedBytes(value: Uint8Array): Place {
    if (value.length === 0) return 0;
    this.builder.prep(ALIGN_BYTES, value.length);
    return this.builder.createByteVector(value);
  }

  /** Places of tables, in order; write them into a vector next. */
  tables<T>(values: readonly T[], what: string, write: (value: T) => Place): Place[] {
    this.takeItems(values.length, what);
    return values.map(write);
  }

  /** A vector of structs or scalars. FlatBuffers are built from the end, so the last one is written first. */
  structs<T>(values: readonly T[], what: string, start: (count: number) => void, write: (value: T) => void): Place {
    this.takeItems(values.length, what);
    if (values.length === 0) return 0;
    start(values.length);
    for (let i = values.length - 1; i >= 0; i--) write(values[i]);
    return this.builder.endVector();
  }

  private takeItems(count: number, what: string): void {
    this.itemsLeft -= count;
    if (this.itemsLeft < 0) refuse(what, `a command has at most ${COMMAND_ITEMS_MAX} items`);
  }
}

/** An int32 of at least `min`. */
export function int32(value: number, what: string, min = INT32_MIN): number {
  if ((value | 0) !== value || value < min) refuse(what, `must be an integer from ${min} to ${INT32_MAX}`);
  return value;
}

/** An int32 that is not negative: counts, lengths, ids. */
export function count(value: number, what: string): number {
  return int32(value, what, 0);
}

export function uint32(value: number, what: string): number {
  if (value >>> 0 !== value) refuse(what, `must be an integer from 0 to ${UINT32_MAX}`);
  return value;
}

/** A count of milliseconds or bytes that may be large. */
export function natural(value: number, what: string): bigint {
  return safe(value, what, 0);
}

/** The value, unless it is above `max`. */
export function atMost(value: number, max: number, what: string): number {
  if (value > max) refuse(what, `must be at most ${max}`);
  return value;
}

/** Offset of a record, or -1. */
export function offset(value: number, what: string): bigint {
  return safe(value, what, -1);
}

/** Milliseconds since 1970. */
export function time(value: number, what: string): bigint {
  return safe(value, what, 0);
}

/** The number of a word: its index in `words`. */
export function choice<T, N extends number>(value: T, what: string, words: readonly T[]): N {
  const index = words.indexOf(value);
  if (index < 0) refuse(what, `must be one of ${words.join(', ')}`);
  return index as N;
}

function safe(value: number, what: string, min: number): bigint {
  if (!Number.isSafeInteger(value) || value < min) refuse(what, `must be an integer from ${min} to 2^53 - 1`);
  return BigInt(value);
}

function refuse(what: string, why: string): never {
  throw new RingmqError('illegal-argument', `${what}: ${why}`);
}
