// Folders for data: made for each run, removed after it. RINGMQ_BENCH_DATA names another place than the system's
// temporary folder, which must be on a disk and not in memory for the figures to mean anything.
import { closeSync, fsyncSync, mkdtempSync, openSync, readdirSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';

const GIB = 1024 ** 3;
/** Figures right behind the removal of some GiB were half as large: `discard` is the likely reason. */
const CALM_MS_PER_GIB = 2_000;
const CALM_MS_MAX = 6_000;

/** Runs with a folder of its own. When this settles the folder is gone and the disk is not busy with it any more. */
export async function inBenchFolder<T>(run: (folder: string) => Promise<T>): Promise<T> {
  const place = process.env.RINGMQ_BENCH_DATA ?? tmpdir();
  const folder = mkdtempSync(path.join(place, 'ringmq-bench-'));
  let bytes = 0;
  try {
    return await run(folder);
  } finally {
    bytes = sizeOf(folder);
    rmSync(folder, { recursive: true, force: true });
    syncFolder(place);
    await pause(Math.min((bytes / GIB) * CALM_MS_PER_GIB, CALM_MS_MAX));
  }
}

function sizeOf(folder: string): number {
  const names = readdirSync(folder, { recursive: true }) as string[];
  return names.reduce(
    (sum, name) => sum + (statSync(path.join(folder, name), { throwIfNoEntry: false })?.size ?? 0),
    0,
  );
}

function syncFolder(folder: string): void {
  const descriptor = openSync(folder, 'r');
  fsyncSync(descriptor);
  closeSync(descriptor);
}
