// All that the log asks of a disk, in one small interface: a real one (disk-node.ts), and one for tests that forgets,
// tears, reorders and fails (test/support/fault-disk.ts).
//
// All but begin() is synchronous: whoever writes or reads the log owns its thread. Errors are Node's, with `code`
// (ENOSPC, EIO, ENOENT ...); a short write or read is finished or thrown by the implementation, never returned.

/** How a file is opened. */
export type DiskMode =
  /** Exists; for reading. */
  | 'read'
  /** Exists or is made; reads and writes go through the page cache: durable after sync(). */
  | 'write'
  /**
   * Exists or is made; every write is on the disk when it returns, past the page cache. Places, lengths and memory are
   * multiples of 4,096 bytes (see alignedBytes()).
   */
  | 'write-direct'
  /** Exists; past the page cache, aligned as above. */
  | 'read-direct';

/** A write that goes on beside the thread that began it. */
export interface WriteUnderWay {
  /** True when it is over, well or not. Whoever looks must let the event loop turn. */
  readonly ended: boolean;
  /** What write() would have thrown; undefined if it went well, or is not over. */
  readonly error: Error | undefined;
  /** Resolved when it is over, well or not. */
  readonly end: Promise<void>;
}

/** An open file. */
export interface DiskFile {
  readonly name: string;
  /** Length in bytes. */
  size(): number;
  /** Fills `bytes` from `position` on, as far as the file goes; returns how many bytes came. */
  read(bytes: Uint8Array, position: number): number;
  /** Writes all of it. */
  write(bytes: Uint8Array, position: number): void;
  /**
   * The same beside the calling thread, where the disk can do that. Until it has ended `bytes` stays as it is and the
   * file open. A thread that dies meanwhile has not ended before the write has.
   */
  readonly begin?: ((bytes: Uint8Array, position: number) => WriteUnderWay) | undefined;
  /**
   * Everything written to this file is on the disk (fdatasync). A failure may have dropped what was not: never retry.
   */
  sync(): void;
  /** Sets the length; what is added reads as zeros. */
  truncate(lengthBytes: number): void;
  close(): void;
}

/** One folder of files. Names have no slashes, except in move() and list(), where one folder below is meant. */
export interface Disk {
  /** For messages to people. */
  readonly folder: string;
  open(name: string, mode: DiskMode): DiskFile;
  exists(name: string): boolean;
  /** Length of a file without opening it, which takes a descriptor, where that can be done. */
  lengthOf?(name: string): number;
  /** Names of the files of the folder, or of one below it, sorted. A folder that is not there has none. */
  list(below?: string): string[];
  rename(from: string, to: string): void;
  /** Renames into a folder below, which is made if need be. */
  move(name: string, below: string): void;
  remove(name: string): void;
  /** Names that were made, renamed or removed stay so (fsync of the folder). */
  syncFolder(): void;
  /** Of the file system, as `df` counts. */
  space(): { readonly freeBytes: number; readonly totalBytes: number };
}

/** The process (or the machine) may open no more files at present. Says nothing of the disk: try again later. */
export function isOutOfFiles(error: unknown): boolean {
  const { code } = error as NodeJS.ErrnoException;
  return code === 'EMFILE' || code === 'ENFILE';
}
