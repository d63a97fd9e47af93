// Sizes of the shared regions, out of the options.
import { LANES_BYTES_MAX, lanesBytes, type RegionSizes, storeBytes } from '../memory/regions.ts';

/** Bytes of the lanes to and from the NameServer. */
const CONTROL_LANE_BYTES = 1024 * 1024;
/** Bytes of the lanes back from broker workers. */
const REPLY_LANE_BYTES = 256 * 1024;

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
    replyBytes: REPLY_LANE_BYTES,
    controlLaneBytes: CONTROL_LANE_BYTES,
    durable: options.data !== undefined,
  };
}

/** False if byte places in the lanes of all seats would not fit an int32. */
export function lanesFit(options: SizeOptions): boolean {
  const sizes = sizesOf(options, 0);
  return lanesBytes(sizes) <= LANES_BYTES_MAX && (!sizes.durable || storeBytes(sizes) <= LANES_BYTES_MAX);
}
