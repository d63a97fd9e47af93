// The record batch: the one unit of lanes, rings, log blocks, replication and WebSocket frames.
//
//   0               4               8               12
//   +---------------+-------+---+---+---------------+---------------+
//   | size          | magic |ver|flg| partition     | epoch         |   0
//   +---------------+-------+---+---+---------------+---------------+
//   | base offset (int64)           | stored at, ms (int64)         |  16
//   +---------------+---------------+---------------+---------------+
//   | producer id (int64)           | base sequence | count         |  32
//   +---------------+---------------+---------------+---------------+
//   | first born at, ms (int64)     | born span, ms | CRC-32        |  48
//   +---------------+---------------+---------------+---------------+
//   | records ... (see record.ts), padded to 8                      |  64
//
// All little-endian. `size` counts the whole batch, header and padding included. The CRC covers the records only, so
// that the owner of the partition can stamp epoch, base offset and stored-at without touching it.
//
// Between a publisher and the owner, the words that the owner will stamp carry the request (see REQUEST below): the
// batch needs no envelope.
import { layoutAssert } from './layout.ts';

export const BATCH_HEADER_BYTES = 64;

/** Byte places inside the header. */
export const BATCH_SIZE = 0;
export const BATCH_MAGIC = 4;
export const BATCH_VERSION = 6;
export const BATCH_FLAGS = 7;
export const BATCH_PARTITION = 8;
export const BATCH_EPOCH = 12;
export const BATCH_BASE_OFFSET = 16;
export const BATCH_STORED_AT = 24;
export const BATCH_PRODUCER_ID = 32;
export const BATCH_BASE_SEQUENCE = 40;
export const BATCH_COUNT = 44;
export const BATCH_BORN_FIRST = 48;
export const BATCH_BORN_SPAN = 56;
export const BATCH_CRC = 60;

/**
 * REQUEST: what the same words mean before the owner has stamped them. The request id is the publisher's own number and
 * comes back in the completion; `ack` is one of the ack levels; the epoch word holds the epoch that the publisher
 * knows.
 */
export const REQUEST_ID = BATCH_BASE_OFFSET;
export const REQUEST_ACK = BATCH_BASE_OFFSET + 4;
export const REQUEST_FLAGS = BATCH_STORED_AT;
export const REQUEST_EPOCH = BATCH_EPOCH;

/** REQUEST_FLAGS: the publisher waits for room (in process); without it a full ring answers `busy` at once. */
export const REQUEST_WAITS = 1;
/** The publisher sends what was refused as `ring-full` again, under the same sequence: what follows it must wait. */
export const REQUEST_INSISTS = 2;
/**
 * The publisher has sent it before, over a connection that was lost. Then no attempt has an offset before the floor, 56
 * bits: the low 32 in the second word, the others in this one from bit 8 on.
 */
export const REQUEST_REPEATS = 4;
/** Nobody waits for the disk: the store is not woken for it, and takes it along with what comes next (in process). */
export const REQUEST_LAZY = 8;
export const REQUEST_FLOOR_SHIFT = 8;
export const REQUEST_FLOOR_LOW = REQUEST_FLAGS + 4;

export const BATCH_MAGIC_VALUE = 0x4d52; // "RM"
export const BATCH_VERSION_VALUE = 1;

/** Flag: the CRC word is filled. In-process volatile batches never leave shared memory and leave it out. */
export const FLAG_CRC = 1;
/** Flag: this is no batch but the filler before a ring's wrap; only size and magic are meaningful. */
export const FLAG_PADDING = 2;
/** Flag: a record of the batch has a key (the key index looks at such batches only). */
export const FLAG_KEYS = 4;
/**
 * Flag, on the way to a reader only (never in a ring or the log): records that a filter or a lease left out are
 * missing. `count` still says how many offsets the batch covers, from its base offset on; there may be no record.
 */
export const FLAG_SPARSE = 8;

/** The int32 at byte 4 of a batch without and with CRC, and of padding. */
export const MAGIC_WORD = BATCH_MAGIC_VALUE | (BATCH_VERSION_VALUE << 16);
export const MAGIC_WORD_CRC = MAGIC_WORD | (FLAG_CRC << 24);
export const MAGIC_WORD_PADDING = MAGIC_WORD | (FLAG_PADDING << 24);

/** The flag of keys in the int32 at byte 4. */
export const MAGIC_KEYS = FLAG_KEYS << 24;

/** The flag of batches with holes in the int32 at byte 4. */
export const MAGIC_SPARSE = FLAG_SPARSE << 24;

/** True if the int32 at byte 4 of a batch says that records are missing. HOT */
export function isSparse(magicWord: number): boolean {
  return (magicWord & MAGIC_SPARSE) !== 0;
}

/** True if the int32 at byte 4 says that this is a batch, with or without CRC and keys, and no padding. HOT */
export function isBatchMagic(magicWord: number): boolean {
  return (magicWord & ~((FLAG_CRC | FLAG_KEYS) << 24)) === MAGIC_WORD;
}

/** True if the int32 at byte 4 of a batch says that its CRC word is filled. HOT */
export function hasCrc(magicWord: number): boolean {
  return (magicWord & (FLAG_CRC << 24)) !== 0;
}

/** True if the int32 at byte 4 of a batch says that a record of it has a key. HOT */
export function hasKeys(magicWord: number): boolean {
  return (magicWord & MAGIC_KEYS) !== 0;
}

/** Smallest padding: size and magic. */
export const PADDING_MIN_BYTES = 8;

layoutAssert(BATCH_CRC + 4 === BATCH_HEADER_BYTES, 'batch header must be 64 bytes');
layoutAssert((FLAG_CRC | FLAG_PADDING | FLAG_KEYS | FLAG_SPARSE) < 128, 'the magic word must stay positive');
layoutAssert(BATCH_BASE_OFFSET % 8 === 0 && BATCH_STORED_AT % 8 === 0, 'int64 fields must be aligned');
layoutAssert(BATCH_PRODUCER_ID % 8 === 0 && BATCH_BORN_FIRST % 8 === 0, 'int64 fields must be aligned');
