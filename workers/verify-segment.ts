// Thread door: a job of the pool that verifies segments of the log before a broker starts.
import { NodeDisk } from '../src/log/disk-node.ts';
import { type SegmentVerdict, verifySegment } from '../src/log/segment-verdict.ts';
import type { VerifyJob } from '../src/server/verify-pool.ts';

/** The job, which the pool finds by its name. */
export function verify({ folder, base, options }: VerifyJob): SegmentVerdict {
  return verifySegment(new NodeDisk(folder), base, options);
}
