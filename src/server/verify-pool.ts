// Verifies segments of the log in parallel before a broker starts: a pool of threads for the time that it takes.
import { availableParallelism } from 'node:os';
import type { SegmentVerdict, VerifyOptions } from '../log/segment-verdict.ts';

/** What one job is given. */
export interface VerifyJob {
  /** Folder of the log. */
  readonly folder: string;
  readonly base: number;
  readonly options: VerifyOptions;
}

/** A job per segment. While one waits for the disk another has the core: two threads are the least. */
export async function verifyInParallel(
  jobs: readonly VerifyJob[],
  verified: (verdict: SegmentVerdict) => void,
): Promise<void> {
  const { Piscina } = await import('piscina');
  const threads = Math.max(2, availableParallelism());
  const pool = new Piscina<VerifyJob, SegmentVerdict>({
    filename: doorOf().href,
    name: 'verify',
    minThreads: Math.min(threads, jobs.length),
    maxThreads: threads,
  });
  try {
    await Promise.all(jobs.map(async (job) => verified(await pool.run(job))));
  } finally {
    await pool.destroy();
  }
}

/** Threads run compiled code, also when this file runs from source (tests). */
function doorOf(): URL {
  const fromSource = import.meta.url.endsWith('.ts');
  return new URL(`${fromSource ? '../../dist' : '../..'}/workers/verify-segment.js`, import.meta.url);
}
