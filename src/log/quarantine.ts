// Keeps a copy of a damaged segment where nothing will overwrite it, for people to look at.
import type { Disk, DiskFile } from './disk.ts';
import { segmentName } from './segment-files.ts';

/** Folder below the log. */
const QUARANTINE = 'quarantine';
const COPY_BYTES = 4 * 1024 * 1024;

/** Copies a segment into the quarantine, named by the damage that it was found with; the segment stays as it is. */
export function keepCopy(disk: Disk, base: number, damagedAt: number): void {
  const name = `${segmentName(base)}.${damagedAt}`;
  if (disk.list(QUARANTINE).includes(name)) return;
  const from = disk.open(segmentName(base), 'read');
  try {
    const to = disk.open(name, 'write');
    try {
      to.truncate(0);
      copyAll(from, to);
      to.sync();
    } finally {
      to.close();
    }
  } finally {
    from.close();
  }
  disk.move(name, QUARANTINE);
  disk.syncFolder();
}

function copyAll(from: DiskFile, to: DiskFile): void {
  const bytes = new Uint8Array(COPY_BYTES);
  const lengthBytes = from.size();
  for (let at = 0; at < lengthBytes; ) {
    const count = from.read(bytes, at);
    if (count === 0) throw new Error(`${from.name} became shorter while it was copied`);
    to.write(bytes.subarray(0, count), at);
    at += count;
  }
}
