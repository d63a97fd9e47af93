// One record inside a batch: 24 bytes of header, then body, key, tag and properties, padded to 8.
//
//   0               4               8               12
//   +---------------+---------------+---------------+---------------+
//   | size          | offset delta  | tag hash      | body length   |   0
//   +-------+-------+-------+-------+---------------+---------------+
//   |key len|prp len|tag|flg| born  | body ...                      |  16
//   +-------+-------+-------+-------+
//
// `size` counts the whole record with its padding. A record's offset is the batch's base offset + delta, so that
// filtered and compacted batches stay valid. `born` is milliseconds after the batch's first born time (at most 65,535:
// a batch never stays open that long). Properties are a FlatBuffers table and start on an 8-byte boundary after
// body, key and tag, so that generated code can read them in place.
import { layoutAssert } from './layout.ts';

export const RECORD_HEADER_BYTES = 24;

export const RECORD_SIZE = 0;
export const RECORD_OFFSET_DELTA = 4;
export const RECORD_TAG_HASH = 8;
export const RECORD_BODY_LENGTH = 12;
export const RECORD_KEY_LENGTH = 16;
export const RECORD_PROPERTIES_LENGTH = 18;
export const RECORD_TAG_LENGTH = 20;
export const RECORD_FLAGS = 21;
export const RECORD_BORN_DELTA = 22;

/** Longest key, tag and properties in bytes (RocketMQ: all properties fit 32,767 bytes in the store). */
export const KEY_LENGTH_MAX = 1024;
export const TAG_LENGTH_MAX = 255;
export const PROPERTIES_LENGTH_MAX = 32_767;
/** Longest body in bytes: RocketMQ's 4 MiB. */
export const BODY_LENGTH_MAX = 4 * 1024 * 1024;
/** Most records in one batch. */
export const BATCH_RECORDS_MAX = 65_536;
/** Largest `born` that a record can hold. */
export const BORN_DELTA_MAX = 65_535;

/**
 * Bits of the flags byte. Bit 1 (RECORD_FLAG_JSON in src/wire/json-text.ts): the body is JSON. The upper four:
 * priority, 0 (the default, lowest) to 9.
 */
export const RECORD_PRIORITY_SHIFT = 4;
export const PRIORITY_MAX = 9;

layoutAssert(RECORD_BORN_DELTA + 2 === RECORD_HEADER_BYTES, 'record header must be 24 bytes');
layoutAssert(RECORD_HEADER_BYTES % 8 === 0, 'body must start aligned');
