// Files in memory that outlives the thread that writes them: a broker without a data folder has its coordinator's
// journal and timers in them, and a coordinator that takes the place of a dead one goes on with them.
//
// Who writes, who reads: one thread, and after its exit is known its successor. Whoever starts both holds the memory in
// a FileBook meanwhile and looks into none of it.
// I1  What a file has is what its length covers. Bytes are written before the length is raised over them, and the
//     length is lowered before anything behind it changes: a thread that dies while it appends leaves the file as it
//     was before, or with all that it appended.
// I2  The book hears of a page before the length covers it: what a thread said before it died is heard before its exit.
import { readWide, storeWide } from './wide.ts';

/** A file is pages of this many bytes; the last one begins small and doubles. Nothing large is ever copied. */
const PAGE_BYTES = 1024 * 1024;
const FIRST_BYTES = 4_096;

/** The memory of one file. */
export interface FileMemory {
  readonly id: number;
  /** A wide number (wide.ts): bytes of the file. */
  readonly length: SharedArrayBuffer;
  readonly pages: readonly SharedArrayBuffer[];
}

/** What a thread says of its files. */
export type FileChange =
  /** A new file, or one under another name. Another one of that name is gone. */
  | { readonly name: string; readonly file: FileMemory }
  /** A page was added, or a larger one took its place. */
  | { readonly id: number; readonly at: number; readonly page: SharedArrayBuffer }
  /** Pages behind so many are not needed. */
  | { readonly id: number; readonly count: number }
  | { readonly removed: string };

/** The memory of a thread's files, by name, as whoever outlives the thread has heard of it. Travels in `workerData`. */
export type FileMemories = ReadonlyMap<string, FileMemory>;

interface Held {
  readonly id: number;
  readonly length: SharedArrayBuffer;
  readonly pages: SharedArrayBuffer[];
}

export class FileBook {
  private readonly held = new Map<string, Held>();
  private readonly byId = new Map<number, Held>();

  get files(): FileMemories {
    return this.held;
  }

  hear(change: FileChange): void {
    if ('removed' in change) this.forget(change.removed);
    else if ('file' in change) this.put(change.name, change.file);
    else if ('page' in change) this.pagesOf(change.id)[change.at] = change.page;
    else this.pagesOf(change.id).length = change.count;
  }

  private put(name: string, { id, length, pages }: FileMemory): void {
    const known = this.byId.get(id);
    for (const [old, one] of this.held) if (one === known) this.held.delete(old);
    this.forget(name);
    const held = known ?? { id, length, pages: [...pages] };
    this.held.set(name, held);
    this.byId.set(id, held);
  }

  private forget(name: string): void {
    const held = this.held.get(name);
    if (held === undefined) return;
    this.held.delete(name);
    this.byId.delete(held.id);
  }

  /** One that was removed may still be open, and grow: nobody wants that. */
  private pagesOf(id: number): SharedArrayBuffer[] {
    return this.byId.get(id)?.pages ?? [];
  }
}

/** One file, for the thread that writes it. */
export class SharedFile implements FileMemory {
  readonly id: number;
  readonly length: SharedArrayBuffer;
  readonly pages: SharedArrayBuffer[];
  private readonly tell: (change: FileChange) => void;
  private readonly words: Int32Array;
  private readonly views: Uint8Array[];

  /** `tell`: I2. */
  constructor({ id, length, pages }: FileMemory, tell: (change: FileChange) => void) {
    this.id = id;
    this.length = length;
    this.pages = [...pages];
    this.tell = tell;
    this.words = new Int32Array(length);
    this.views = pages.map((page) => new Uint8Array(page));
  }

  static empty(id: number, tell: (change: FileChange) => void): SharedFile {
    return new SharedFile({ id, length: new SharedArrayBuffer(8), pages: [] }, tell);
  }

  get size(): number {
    return readWide(this.words, 0);
  }

  get heldBytes(): number {
    return this.views.reduce((sum, page) => sum + page.length, 0);
  }

  /** Fills `bytes` from `position` on, as far as the file goes; returns how many bytes came. */
  read(bytes: Uint8Array, position: number): number {
    const end = Math.min(position + bytes.length, this.size);
    for (let at = position; at < end; ) {
      const place = at % PAGE_BYTES;
      const part = this.page(at).subarray(place, Math.min(PAGE_BYTES, place + end - at));
      bytes.set(part, at - position);
      at += part.length;
    }
    return Math.max(end - position, 0);
  }

  write(bytes: Uint8Array, position: number): void {
    const { size } = this;
    const end = position + bytes.length;
    if (end > size) this.reserve(end);
    if (position > size) this.clear(size, position);
    for (let at = position; at < end; ) {
      const place = at % PAGE_BYTES;
      const length = Math.min(PAGE_BYTES - place, end - at);
      this.page(at).set(bytes.subarray(at - position, at - position + length), place);
      at += length;
    }
    if (end > size) storeWide(this.words, 0, end); // PUBLISH: bytes and pages -> the successor (I1)
  }

  /** What is added reads as zeros, also where something was before. */
  resize(length: number): void {
    const { size } = this;
    if (length > size) {
      this.reserve(length);
      this.clear(size, length);
    }
    storeWide(this.words, 0, length); // PUBLISH: bytes and pages -> the successor (I1)
    const count = Math.ceil(length / PAGE_BYTES);
    if (count >= this.pages.length) return;
    this.pages.length = count;
    this.views.length = count;
    this.tell({ id: this.id, count });
  }

  private page(at: number): Uint8Array {
    return this.views[Math.floor(at / PAGE_BYTES)];
  }

  private clear(from: number, to: number): void {
    for (let at = from; at < to; ) {
      const place = at % PAGE_BYTES;
      const length = Math.min(PAGE_BYTES - place, to - at);
      this.page(at).fill(0, place, place + length);
      at += length;
    }
  }

  /** Pages for so many bytes. */
  private reserve(length: number): void {
    const count = Math.ceil(length / PAGE_BYTES);
    for (let at = Math.max(0, this.views.length - 1); at < count; at++) {
      this.grow(at, Math.min(PAGE_BYTES, length - at * PAGE_BYTES));
    }
  }

  private grow(at: number, least: number): void {
    const old = this.views[at];
    if (old !== undefined && old.length >= least) return;
    const page = new SharedArrayBuffer(Math.min(PAGE_BYTES, Math.max(least, 2 * (old?.length ?? 0), FIRST_BYTES)));
    const view = new Uint8Array(page);
    if (old !== undefined) view.set(old);
    this.pages[at] = page;
    this.views[at] = view;
    this.tell({ id: this.id, at, page });
  }
}
