// A disk in memory, for brokers that keep nothing: what works on files works on it. It goes with the broker, and may
// outlive its thread: a successor is given the memory of its files (memory/shared-file.ts).
//
// Who uses it: the thread that made it. Names, places and errors are as those of disk-node.ts (I1, I2 there), and
// everything counts as written for good at once.
import { type FileChange, type FileMemories, SharedFile } from '../memory/shared-file.ts';
import type { Disk, DiskFile, DiskMode } from './disk.ts';

/** What space() says: memory has no measure that would be right for every machine. */
const SPACE_BYTES = 2 ** 40;
export class MemoryDisk implements Disk {
  readonly folder = '(memory)';
  private readonly files = new Map<string, SharedFile>();
  private readonly tell: (change: FileChange) => void;
  private lastId = 0;

  /** `left`: the files of a predecessor. `tell` hears of all that a successor must be given. */
  constructor(left: FileMemories = new Map(), tell: (change: FileChange) => void = () => {}) {
    this.tell = tell;
    for (const [name, memory] of left) {
      this.files.set(name, new SharedFile(memory, tell));
      this.lastId = Math.max(this.lastId, memory.id);
    }
  }

  open(name: string, mode: DiskMode): DiskFile {
    if (mode === 'read-direct' || mode === 'write-direct') throw failed('EINVAL', `open ${name} past the page cache`);
    let content = this.files.get(name);
    if (content === undefined) {
      if (mode === 'read') throw failed('ENOENT', `open ${name}`);
      content = SharedFile.empty(++this.lastId, this.tell);
      this.name(content, name);
    }
    return new MemoryFile(name, content, mode === 'write');
  }

  exists(name: string): boolean {
    return this.files.has(name);
  }

  lengthOf(name: string): number {
    return this.content(name, 'stat').size;
  }

  list(below = ''): string[] {
    const prefix = below === '' ? '' : `${below}/`;
    return [...this.files.keys()]
      .filter((name) => name.startsWith(prefix))
      .map((name) => name.slice(prefix.length))
      .filter((name) => !name.includes('/'))
      .sort();
  }

  rename(from: string, to: string): void {
    const content = this.content(from, 'rename');
    this.files.delete(from);
    this.name(content, to);
  }

  move(name: string, below: string): void {
    this.rename(name, `${below}/${name}`);
  }

  remove(name: string): void {
    this.content(name, 'unlink');
    this.files.delete(name);
    this.tell({ removed: name });
  }

  syncFolder(): void {
    // Names in memory stay as they are.
  }

  space(): { readonly freeBytes: number; readonly totalBytes: number } {
    let used = 0;
    for (const content of this.files.values()) used += content.heldBytes;
    return { freeBytes: SPACE_BYTES - used, totalBytes: SPACE_BYTES };
  }

  private name(content: SharedFile, name: string): void {
    this.files.set(name, content);
    const { id, length, pages } = content;
    this.tell({ name, file: { id, length, pages } });
  }

  private content(name: string, call: string): SharedFile {
    const content = this.files.get(name);
    if (content === undefined) throw failed('ENOENT', `${call} ${name}`);
    return content;
  }
}

class MemoryFile implements DiskFile {
  readonly name: string;
  private readonly content: SharedFile;
  private readonly writes: boolean;
  private closed = false;

  constructor(name: string, content: SharedFile, writes: boolean) {
    this.name = name;
    this.content = content;
    this.writes = writes;
  }

  size(): number {
    return this.content.size;
  }

  read(bytes: Uint8Array, position: number): number {
    this.assertOpen();
    return this.content.read(bytes, position);
  }

  write(bytes: Uint8Array, position: number): void {
    this.assertWrites();
    this.content.write(bytes, position);
  }

  sync(): void {
    this.assertOpen();
  }

  truncate(lengthBytes: number): void {
    this.assertWrites();
    this.content.resize(lengthBytes);
  }

  close(): void {
    this.assertOpen();
    this.closed = true;
  }

  private assertWrites(): void {
    this.assertOpen();
    if (!this.writes) throw failed('EBADF', `write ${this.name}`);
  }

  private assertOpen(): void {
    if (this.closed) throw failed('EBADF', this.name);
  }
}

function failed(code: string, what: string): Error {
  return Object.assign(new Error(`${code}: ${what}`), { code });
}
