// Thread door: the coordinator.
import { parentPort, threadId, workerData } from 'node:worker_threads';
import { SEAT_COORDINATOR } from '../native-layout/control.ts';
import { RingmqError } from '../src/base/codes.ts';
import { Coordinator } from '../src/coordinator/coordinator.ts';
import { FileJournal } from '../src/coordinator/journal-file.ts';
import type { Disk } from '../src/log/disk.ts';
import { attachRegions } from '../src/memory/regions.ts';
import { claimSeat, releaseSeat } from '../src/memory/seats.ts';
import type { CoordinatorWorkerData, FilesReport, ThreadReport } from '../src/thread/worker-data.ts';

const { attachment, checks, journalTailBytes, timerCheckpointMs, folder, files } = workerData as CoordinatorWorkerData;
const { control } = attachRegions(attachment);
const seat = claimSeat(control, SEAT_COORDINATOR, SEAT_COORDINATOR, 'coordinator', threadId);
if (seat !== SEAT_COORDINATOR) throw new Error('the seat of the coordinator is taken');

const warn = (text: string): void => {
  parentPort?.postMessage({ type: 'report', level: 'warn', text, fields: {} } satisfies ThreadReport);
};
const disk = await open();
const coordinator = new Coordinator({
  attachment,
  journal: new FileJournal(disk, journalTailBytes),
  disk,
  durable: folder !== undefined,
  clock: Date.now,
  checks,
  timerCheckpointMs,
  warn,
  fault: (error) => {
    setImmediate(() => {
      throw error;
    });
  },
});
try {
  await coordinator.start();
} catch (error) {
  // Whoever starts the broker is told why it does not.
  if (error instanceof RingmqError) parentPort?.postMessage({ type: 'failed', code: error.code, text: error.message });
  throw error;
}
parentPort?.postMessage({ type: 'ready' });
await new Promise<void>((resolve) => {
  parentPort?.on('message', (message: { readonly type?: string }) => {
    if (message.type === 'stop') resolve();
  });
});
await coordinator.stop();
releaseSeat(control, seat);
parentPort?.close();

/** A broker that keeps nothing has its files in memory, and does not load what writes to the disk. */
async function open(): Promise<Disk> {
  if (folder !== undefined) return new (await import('../src/log/disk-node.ts')).NodeDisk(folder);
  const { MemoryDisk } = await import('../src/log/disk-memory.ts');
  return new MemoryDisk(files, (change) => {
    parentPort?.postMessage({ type: 'files', change } satisfies FilesReport);
  });
}
