// A disk in memory, for brokers that keep nothing: what works on files works on it, and goes with its thread.
//
// Who uses it: the thread that made it; nothing here is shared. Names, places and errors are as those of disk-node.ts
// (I1, I2 there), and everything counts as written for good at once.
import type { Disk, DiskFile, DiskMode } from './disk.ts';

/** What space() says: memory has no measure that would be right for every machine. */
const SPACE_BYTES = 2 ** 40;
/** A file is pages of this many bytes; the last one begins small and doubles. Nothing large is ever copied. */
const PAGE_BYTES = 1024 * 1024;
const FIRST_BYTES = 4_096;

/** The bytes of one file. */
class Content {
  length = 0;
  private readonly pages: Uint8Array<ArrayBuffer>[] = [];

  get heldBytes(): number {
    return this.pages.reduce((sum, page) => sum + page.length, 0);
  }

  read(bytes: Uint8Array, position: number): number {
    const end = Math.min(position + bytes.length, this.length);
    for (let at = position; at < end; ) {
      const page = this.pages[Math.floor(at / PAGE_BYTES)];
      const place = at % PAGE_BYTES;
      const part = page.subarray(place, Math.min(PAGE_BYTES, place + end - at));
      bytes.set(part, at - position);
      at += part.length;
    }
    return Math.max(end - position, 0);
  }

  write(bytes: Uint8Array, position: number): void {
    const end = position + bytes.length;
    if (end > this.length) this.resize(end);
    for (let at = position; at < end; ) {
      const page = this.pages[Math.floor(at / PAGE_BYTES)];
      const place = at % PAGE_BYTES;
      const length = Math.min(PAGE_BYTES - place, end - at);
      page.set(bytes.subarray(at - position, at - position + length), place);
      at += length;
    }
  }

  /** What is added reads as zeros, also where something was before. */
  resize(length: number): void {
    const count = Math.ceil(length / PAGE_BYTES);
    this.pages.length = Math.min(this.pages.length, count);
    for (let page = 0; page < count; page++) {
      this.pages[page] = sized(this.pages[page], Math.min(PAGE_BYTES, length - page * PAGE_BYTES));
    }
    if (length < this.length && length % PAGE_BYTES > 0) this.pages[count - 1].fill(0, length % PAGE_BYTES);
    this.length = length;
  }
}

function sized(page: Uint8Array<ArrayBuffer> | undefined, least: number): Uint8Array<ArrayBuffer> {
  if (page !== undefined && page.length >= least) return page;
  const larger = new Uint8Array(Math.min(PAGE_BYTES, Math.max(least, 2 * (page?.length ?? 0), FIRST_BYTES)));
  if (page !== undefined) larger.set(page);
  return larger;
}

export class MemoryDisk implements Disk {
  readonly folder = '(memory)';
  private readonly files = new Map<string, Content>();

  open(name: string, mode: DiskMode): DiskFile {
    if (mode === 'read-direct' || mode === 'write-direct') throw failed('EINVAL', `open ${name} past the page cache`);
    let content = this.files.get(name);
    if (content === undefined) {
      if (mode === 'read') throw failed('ENOENT', `open ${name}`);
      content = new Content();
      this.files.set(name, content);
    }
    return new MemoryFile(name, content, mode === 'write');
  }

  exists(name: string): boolean {
    return this.files.has(name);
  }

  lengthOf(name: string): number {
    return this.content(name, 'stat').length;
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
    this.files.set(to, content);
  }

  move(name: string, below: string): void {
    this.rename(name, `${below}/${name}`);
  }

  remove(name: string): void {
    this.content(name, 'unlink');
    this.files.delete(name);
  }

  syncFolder(): void {
    // Names in memory stay as they are.
  }

  space(): { readonly freeBytes: number; readonly totalBytes: number } {
    let used = 0;
    for (const content of this.files.values()) used += content.heldBytes;
    return { freeBytes: SPACE_BYTES - used, totalBytes: SPACE_BYTES };
  }

  private content(name: string, call: string): Content {
    const content = this.files.get(name);
    if (content === undefined) throw failed('ENOENT', `${call} ${name}`);
    return content;
  }
}

class MemoryFile implements DiskFile {
  readonly name: string;
  private readonly content: Content;
  private readonly writes: boolean;
  private closed = false;

  constructor(name: string, content: Content, writes: boolean) {
    this.name = name;
    this.content = content;
    this.writes = writes;
  }

  size(): number {
    return this.content.length;
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
