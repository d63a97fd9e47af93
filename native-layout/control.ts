// The control block: who takes part, who sleeps, who lives. One SharedArrayBuffer of Int32 words.
//
//   byte 0      header (supervisor writes it once, before any other thread starts; STATE and ROUTE_VERSION change)
//   then        one block of SEAT_BYTES for every seat
//
// A seat is a thread's place at the table: the supervisor, the NameServer, each broker worker, each front end and each
// embedding thread takes one. Seat numbers are found in slots (owner), lanes (from, to) and routes.
import { LINE_BYTES, layoutAssert } from './layout.ts';

export const CONTROL_MAGIC_VALUE = 0x716d7267; // "grmq"

// Header words.
export const CONTROL_MAGIC = 0;
export const CONTROL_LAYOUT_VERSION = 1;
export const CONTROL_STATE = 2;
export const CONTROL_WORKER_COUNT = 3;
export const CONTROL_FRONTEND_COUNT = 4;
export const CONTROL_SEAT_COUNT = 5;
export const CONTROL_PARTITION_MAX = 6;
/** Next arena id: ids are never reused, so that no thread meets an old buffer under a new id. */
export const CONTROL_ARENA_NEXT = 7;
export const CONTROL_ROUTE_VERSION = LINE_BYTES / 4;
/** No partition id at or above this one was ever used: where scans of the table end. Written by the NameServer. */
export const CONTROL_PARTITIONS_USED = LINE_BYTES / 4 + 1;
export const CONTROL_HEADER_BYTES = LINE_BYTES * 2;

export const CONTROL_STATES = { starting: 0, running: 1, stopping: 2, stopped: 3 } as const;

// Seats: fixed numbers first, then front ends, then embedding threads.
export const SEAT_SUPERVISOR = 0;
export const SEAT_NAMESERVER = 1;
export const SEAT_FIRST_WORKER = 2;
export const WORKERS_MAX = 16;
/** The store thread, which writes the log, and the log reader thread, which reads it: seats of their own. */
export const SEAT_STORE = SEAT_FIRST_WORKER + WORKERS_MAX;
export const SEAT_LOG_READER = SEAT_STORE + 1;
/** The coordinator thread: groups, leases, retries, delays, transactions. */
export const SEAT_COORDINATOR = SEAT_LOG_READER + 1;
/** From here on front ends and embedding threads sit where there is room. */
export const SEAT_FIRST_FREE = SEAT_COORDINATOR + 1;
export const SEATS_MAX = 64;

// Words of a seat, grouped by writer in lines of their own.
/** FREE, TAKEN or DEAD; claimed by compare-exchange. */
export const SEAT_STATE = 0;
/** Node's thread id of who sits here. */
export const SEAT_THREAD = 1;
/** Counts the times this seat was taken. */
export const SEAT_GENERATION = 2;
export const SEAT_ROLE = 3;
/** 1 while the thread sleeps (or is about to): who has news for it swaps in 0 and notifies. */
export const SEAT_BELL = LINE_BYTES / 4;
/** Counts up while the thread lives; seconds since the process started are not needed, only change. */
export const SEAT_HEARTBEAT = (LINE_BYTES * 2) / 4;
/** Pairs of words (low, high), written by the seat's thread once a turn. */
export const SEAT_COUNTERS = (LINE_BYTES * 3) / 4;
export const SEAT_COUNTER_COUNT = 32;
/** For broker workers: bit per seat (two words) that has a lane into this worker with news. */
export const SEAT_LANES_OPEN = (LINE_BYTES * 5) / 4;
export const SEAT_BYTES = LINE_BYTES * 6;
export const SEAT_WORDS = SEAT_BYTES / 4;

export const SEAT_STATES = { free: 0, taken: 1, dead: 2 } as const;
export const SEAT_ROLES = {
  none: 0,
  supervisor: 1,
  nameserver: 2,
  broker: 3,
  frontend: 4,
  embedded: 5,
  store: 6,
  reader: 7,
  coordinator: 8,
} as const;

layoutAssert(SEAT_COUNTERS * 4 + SEAT_COUNTER_COUNT * 8 <= SEAT_LANES_OPEN * 4, 'counters overflow their lines');
layoutAssert(SEATS_MAX <= 64, 'lane bits must fit two words');
