// Folders for data: made for each run, removed after it. RINGMQ_BENCH_DATA names another place than the system's
// temporary folder, which must be on a disk and not in memory for the figures to mean anything.
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

export function benchFolder(): string {
  return mkdtempSync(path.join(process.env.RINGMQ_BENCH_DATA ?? tmpdir(), 'ringmq-bench-'));
}
