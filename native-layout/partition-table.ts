// The partition table: one entry for every partition of every topic, found by its number (the partition id).
// An entry is the partition's identity, its place in memory, its ring's cursors and its readers.
//
//    byte   line                                writer                  readers
//       0   identity                            NameServer thread       all
//     128   place of the ring                   owner                   all
//     256   cursors                             owner                   all readers
//           which slots are taken (bits)        readers (or / and)      owner
//     384   oldest offset that the log has      NameServer, log reader  all
//     512   slot 0 .. slot 31, 128 bytes each   the slot's reader       owner
//           slot 0 also: what the log has       store                   owner
//
// All words are Int32 and every access to them is atomic. The owner is the one thread that writes the ring: a broker
// worker, or an embedding thread for a direct partition.
import { LINE_BYTES, layoutAssert } from './layout.ts';

// Identity (NameServer).
export const PARTITION_STATE = 0;
export const PARTITION_TOPIC = 1;
export const PARTITION_NUMBER = 2;
/** Seat of the thread that writes this partition. */
export const PARTITION_OWNER = 3;
/** Generation of the partition's contents: a consumer that knows another one must not resume by offset. */
export const PARTITION_EPOCH = 4;
export const PARTITION_PERMISSION = 5;
export const PARTITION_OVERFLOW = 6;
/** Bytes of ring that the topic asks for: a power of two. */
export const PARTITION_RING_BYTES = 7;
/** 1 if the partition is durable: the store reads its ring through slot 0, readers that are too slow are evicted. */
export const PARTITION_DURABLE = 8;
/** Offset of the first record of this life of the entry (two words): what the log had when the broker started. */
export const START_OFFSET_LOW = 9;
export const START_OFFSET_HIGH = 10;
/** How long the log keeps it, in minutes; 0: as the broker does. */
export const RETENTION_MINUTES = 11;
/** How much the log keeps of it, in MiB; 0: as the broker does. */
export const RETENTION_MIB = 12;
/** 1 if the broker's own threads alone publish there: front ends refuse what clients send. */
export const PARTITION_RESERVED = 13;

// Place (owner). PLACE_READY publishes the other two.
const PLACE_LINE = LINE_BYTES / 4;
export const PLACE_ARENA = PLACE_LINE;
export const PLACE_BYTE = PLACE_LINE + 1;
export const PLACE_CAPACITY = PLACE_LINE + 2;
export const PLACE_READY = PLACE_LINE + 3;

// Cursors (owner): running byte counts compared by subtraction.
const CURSOR_LINE = (LINE_BYTES * 2) / 4;
/** Bytes before this position are published. */
export const RING_TAIL = CURSOR_LINE;
/** Oldest position that a reader may still join at. Published before anything behind it is overwritten. */
export const RING_HEAD = CURSOR_LINE + 1;
/** Next offset to be assigned, as two words; high changes rarely. For monitoring and `latest` answers. */
export const NEXT_OFFSET_LOW = CURSOR_LINE + 2;
export const NEXT_OFFSET_HIGH = CURSOR_LINE + 3;
/** Set while the owner has something that does not fit: the readers that hold it back then ring the owner. */
export const WRITER_BLOCKED = CURSOR_LINE + 4;
/** Bit i is set while slot i is taken. In the line that the owner looks at with every batch: readers seldom join. */
export const SLOT_MASK = CURSOR_LINE + 5;

/** Oldest offset that the log has, two words (writer: the NameServer at first, then the log reader). */
export const OLDEST_OFFSET_LOW = (LINE_BYTES * 3) / 4;
export const OLDEST_OFFSET_HIGH = OLDEST_OFFSET_LOW + 1;

export const SLOT_COUNT = 32;
/** In durable partitions this slot is the store's: the owner takes it for the store's seat before the first batch. */
export const JOURNAL_SLOT = 0;
export const SLOT_BASE = (LINE_BYTES * 4) / 4;
export const SLOT_STRIDE = LINE_BYTES / 4;
/** Words of a slot. Cursor: position | state (positions are multiples of 8, which leaves three bits). */
export const SLOT_CURSOR = 0;
/** Seat + 1 of the reader, 0 when the slot is free. */
export const SLOT_OWNER = 1;
/** 1 while a notice about this partition is on its way to the reader. */
export const SLOT_NOTICED = 2;
/**
 * In the line of slot 0, which the store writes after each commit: ring positions up to which the log has the batches,
 * given to the file system and on the disk. A line of their own would be one more for two threads to miss.
 */
export const STORED_WRITTEN = SLOT_BASE + JOURNAL_SLOT * SLOT_STRIDE + SLOT_NOTICED + 1;
export const STORED_DURABLE = STORED_WRITTEN + 1;

/** States in the low bits of SLOT_CURSOR. */
export const CURSOR_STATE_MASK = 7;
export const CURSOR_FREE = 0;
/** Waiting at the position; the owner may evict it where the topic's policy allows. */
export const CURSOR_IDLE = 1;
/** Reading from the position on: nothing behind it may be overwritten. */
export const CURSOR_PINNED = 2;
/** Taken out by the owner. */
export const CURSOR_EVICTED = 3;
/** Waiting at the position and never evicted, whatever the policy says (the journal; lossless readers). */
export const CURSOR_HOLDING = 4;

export const PARTITION_ENTRY_BYTES = LINE_BYTES * (4 + SLOT_COUNT);
export const PARTITION_ENTRY_WORDS = PARTITION_ENTRY_BYTES / 4;

export const PARTITION_STATES = { free: 0, active: 1, deleted: 2 } as const;
/** RocketMQ's permission bits: read 4, write 2. */
export const PERMISSION_READ = 4;
export const PERMISSION_WRITE = 2;

export const OVERFLOW_CODES = { block: 0, 'drop-oldest': 1, reject: 2 } as const;
export type OverflowPolicy = keyof typeof OVERFLOW_CODES;

/** Smallest and largest ring of a partition, in bytes; powers of two. */
export const RING_BYTES_MIN = 16 * 1024;
export const RING_BYTES_MAX = 256 * 1024 * 1024;
/** A batch may fill at most this part of its ring, so that the newest batch always stays readable. */
export const RING_BATCH_DIVISOR = 4;

layoutAssert(SLOT_COUNT <= 32, 'slots must fit one mask word');
layoutAssert(PARTITION_RESERVED < PLACE_LINE, 'identity line overflows');
layoutAssert(STORED_DURABLE < SLOT_BASE + SLOT_STRIDE, 'the line of slot 0 overflows');
layoutAssert(SLOT_MASK < CURSOR_LINE + LINE_BYTES / 4, 'cursor line overflows');
