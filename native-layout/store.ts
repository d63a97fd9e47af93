// The store region: shared memory between broker workers, the store thread, the log reader thread and whoever reads
// history. Only a broker that keeps its data has one.
//
//   header      how the store is doing (writer: the store thread; FULL also the log reader)
//   ledgers     for every broker worker two rings of acks that wait, `written` and `durable` (writer: the worker)
//   run lane    what the store has written, for the log reader's index (lane.ts; producer: the store thread)
//   read lanes  for every seat a lane of requests to the log reader, and one of its answers
import { LINE_BYTES, layoutAssert } from './layout.ts';

// Header words, each line with one writer.
/** One of STORE_STATES. */
export const STORE_STATE = 0;
/** Number of the code (base/codes.ts) that appends are refused with while STATE is not `running`. */
export const STORE_REFUSAL = 1;
/** Commits since the start. */
export const STORE_COMMITS = 2;
/** Log positions as two words each. */
export const STORE_WRITTEN_LOW = 4;
export const STORE_DURABLE_LOW = 6;
/** 1 while the disk is fuller than the watermark allows (writer: the log reader). */
export const STORE_FULL = LINE_BYTES / 4;
/** Oldest log position that is still there, two words (writer: the log reader). */
export const STORE_OLDEST_LOW = LINE_BYTES / 4 + 2;
/** Log position up to which keys are in the key index, two words (writer: the log reader). */
export const STORE_INDEXED_LOW = LINE_BYTES / 4 + 4;
/** Bytes of log on the disk, two words (writer: the log reader). */
export const STORE_BYTES_LOW = LINE_BYTES / 4 + 6;
/** Runs that were found damaged and are not served (writer: the log reader). */
export const STORE_DAMAGED = LINE_BYTES / 4 + 8;
export const STORE_HEADER_BYTES = LINE_BYTES * 2;

/** `full`: the disk had no room; appends are refused until there is some. `failed`: for good, until a restart. */
export const STORE_STATES = { starting: 0, running: 1, full: 2, failed: 3 } as const;

// Ledger: a ring of entries, positions counted in entries (int32, compared by subtraction).
export const LEDGER_TAIL = 0;
export const LEDGER_HEAD = LINE_BYTES / 4;
export const LEDGER_CONTROL_BYTES = LINE_BYTES * 2;
/** A power of two. A worker whose ledger is full takes no more batches until acks were released. */
export const LEDGER_ENTRIES = 131_072;
// Words of an entry.
export const LEDGER_SEAT = 0;
/** SEAT_GENERATION of the publisher: an answer is for that holder of the seat only. */
export const LEDGER_GENERATION = 1;
export const LEDGER_REQUEST = 2;
export const LEDGER_PARTITION = 3;
export const LEDGER_EPOCH = 4;
/** Ring position that the store's cursor must reach. */
export const LEDGER_POSITION = 5;
export const LEDGER_BASE_LOW = 6;
export const LEDGER_BASE_HIGH = 7;
export const LEDGER_COUNT = 8;
/** Status of the answer: `ok` or `duplicate`. */
export const LEDGER_STATUS = 9;
export const LEDGER_ENTRY_WORDS = 12;
export const LEDGER_BYTES = LEDGER_CONTROL_BYTES + LEDGER_ENTRIES * LEDGER_ENTRY_WORDS * 4;

// Run lane: one frame for every run that the store has written.
export const RUN_LANE_BYTES = 4 * 1024 * 1024;
export const RUN_NOTICE_BYTES = 72;
/** Byte places in the frame; byte 0 is its size. */
export const NOTICE_RUN_SIZE = 4;
/** Log position of the run's header. */
export const NOTICE_POSITION = 8;
export const NOTICE_TOPIC = 16;
export const NOTICE_PARTITION = 20;
export const NOTICE_BASE_OFFSET = 24;
export const NOTICE_NEXT_OFFSET = 32;
export const NOTICE_STORED_FIRST = 40;
export const NOTICE_STORED_SPAN = 48;
export const NOTICE_EPOCH = 52;
export const NOTICE_FLAGS = 56;
export const NOTICE_RECORDS = 60;
/** Log position where the next block will be: the log reader knows what is whole. */
export const NOTICE_LOG_END = 64;

// Read lanes.
export const READ_REQUEST_LANE_BYTES = 64 * 1024;
/** Largest answer in bytes, unless a single batch needs more. */
export const READ_CHUNK_BYTES = 1024 * 1024;
/** Frame: byte 0 its size. */
export const READ_REQUEST_BYTES = 48;
export const READ_REQUEST_ID = 4;
export const READ_KIND = 8;
export const READ_TOPIC = 12;
export const READ_PARTITION = 16;
/** Most bytes of batches wanted; at least one batch comes if there is one. */
export const READ_MAX_BYTES = 20;
/** Offset, or milliseconds since 1970, by the kind. */
export const READ_FROM = 24;

/**
 * `read`: batches from an offset on. `locate`: the offset of the first batch that was stored at a time or later (the
 * next offset if there is none); no bytes.
 */
export const READ_KINDS = { read: 1, locate: 2 } as const;

/** Answer: a frame with this header, then the batches. Byte 0 is the size of both. */
export const READ_ANSWER_BYTES = 48;
export const ANSWER_REQUEST = 4;
/** A code's number: `ok`, `offset-out-of-range` (see ANSWER_OLDEST), `log-damaged` (see ANSWER_NEXT), `internal`. */
export const ANSWER_STATUS = 8;
/** Bytes of batches; 0 with `ok`: nothing there yet. */
export const ANSWER_LENGTH = 12;
/** Offset of the first batch; the located offset. */
export const ANSWER_BASE = 16;
/** Offset to read from next. With `log-damaged`: what lies before it is lost. */
export const ANSWER_NEXT = 24;
/** Oldest offset that the log has of the partition. */
export const ANSWER_OLDEST = 32;

layoutAssert(RUN_NOTICE_BYTES % 8 === 0 && READ_ANSWER_BYTES % 8 === 0, 'frames are multiples of 8 bytes');
layoutAssert(LEDGER_STATUS < LEDGER_ENTRY_WORDS, 'ledger entry overflows');
