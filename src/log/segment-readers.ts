// Segment files that are open for reading: few at a time, the one that was used longest ago is closed first. One owner.
import { type Disk, type DiskFile, isOutOfFiles } from './disk.ts';
import { segmentName } from './segment-files.ts';

const FILES_MAX = 16;

export class SegmentReaders {
  private readonly disk: Disk;
  private readonly direct: boolean;
  private readonly open = new Map<number, DiskFile>();

  constructor(disk: Disk, mode: 'direct' | 'buffered') {
    this.disk = disk;
    this.direct = mode === 'direct';
  }

  /**
   * Fills `into` from a place of a segment on; returns how many bytes came, 0 if the disk refuses. Throws if there is
   * no file left to open (isOutOfFiles): that says nothing of the segment.
   */
  read(base: number, into: Uint8Array, place: number): number {
    try {
      return this.file(base).read(into, place);
    } catch (error) {
      if (isOutOfFiles(error)) throw error;
      // Gone, or unreadable: the caller says `damaged` of what it wanted. A stale descriptor must not stay.
      this.forget(base);
      return 0;
    }
  }

  forget(base: number): void {
    this.open.get(base)?.close();
    this.open.delete(base);
  }

  close(): void {
    for (const base of [...this.open.keys()]) this.forget(base);
  }

  private file(base: number): DiskFile {
    let file = this.open.get(base);
    if (file) this.open.delete(base);
    else file = this.disk.open(segmentName(base), this.direct ? 'read-direct' : 'read');
    this.open.set(base, file);
    for (const oldest of this.open.keys()) {
      if (this.open.size <= FILES_MAX) break;
      this.forget(oldest);
    }
    return file;
  }
}
