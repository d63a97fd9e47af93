// Sizes of the shared regions, out of the options.
import { LANES_BYTES_MAX, lanesBytes, type RegionSizes, storeBytes } from '../memory/regions.ts';

/** Bytes of the lanes to and from the NameServer. */
const CONTROL_LANE_BYTES = 1024 * 1024;
/**
 * Bytes of the lanes back from broker workers. 32 bytes an answer, and so many batches may a thread have under way:
 * with the largest the store finds several batches of each of ten thousand topics (and a worker's ledger has room for
 * four such threads). Half a lane in between.
 */
const REPLY_LANE_BYTES_MIN = 256 * 1024;
const REPLY_LANE_BYTES_MAX = 1024 * 1024;

/** What of the options decides about sizes. */
export interface SizeOptions {
  readonly workers: number;
  readonly partitionMax: number;
  readonly laneBytes: number;
  /** Folder of the data; none: there is no store. */
  readonly data?: string | undefined;
}

export function sizesOf(options: SizeOptions, frontendCount: number): RegionSizes {
  return {
    workerCount: options.workers,
    frontendCount,
    partitionMax: options.partitionMax,
    laneBytes: options.laneBytes,
    replyBytes: Math.min(Math.max(options.laneBytes / 2, REPLY_LANE_BYTES_MIN), REPLY_LANE_BYTES_MAX),
    controlLaneBytes: CONTROL_LANE_BYTES,
    durable: options.data !== undefined,
  };
}

/** False if byte places in the lanes of all seats would not fit an int32. */
export function lanesFit(options: SizeOptions): boolean {
  const sizes = sizesOf(options, 0);
  return lanesBytes(sizes) <= LANES_BYTES_MAX && (!sizes.durable || storeBytes(sizes) <= LANES_BYTES_MAX);
}
