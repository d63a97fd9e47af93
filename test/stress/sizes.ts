// Sizes and places that the stress tests and their threads agree on: tiny, so that everything wraps and fills all the
// time. The threads get them as workerData: under Node 20 a worker cannot load a .ts file.
export const SIZES = {
  LANE_CAPACITY: 256,
  RING_CAPACITY: 512,
  /** A quarter of the ring, half of the lane. */
  LENGTH_MAX: 128,
  PRODUCER: 77,
  /** Seats: the owner of the ring or producer of a lane, then readers. */
  OWNER_SEAT: 2,
  READER_SEAT: 3,
  NOTICE_ENTRIES: 16,
  /** Words of the signals array. */
  STOP: 0,
  PROGRESS: 1,
  /** Set by a producer that will send no more. */
  DONE: 2,
  /** News that is there after a wait this long was a lost wake-up. Shorter than the run. */
  WAIT_MS: 1_000,
} as const;

/** The cursors start just below the int32 wrap. */
export const START = 0x7ffffe00;
