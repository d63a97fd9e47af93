// The bytes of leasable messages: one copy of each batch that was read, shared by its records, gone when the last of
// them is settled. Of a batch of which little is wanted only that is kept.

/** Longest record that travels in a reply; larger ones are pulled by who receives them. */
export const RECORD_MAX_BYTES = 160 * 1024;
/** Byte place of a record that is not kept. */
export const NOT_KEPT = -1;

/** What all chunks of a desk hold together. */
export interface Holding {
  bytes: number;
}

export interface Chunk {
  readonly bytes: Uint8Array;
  readonly words: Int32Array;
  /** Records that still need it. */
  left: number;
}

/** Chunks of one queue, by number. */
export class LeaseChunks {
  /** Bytes of this queue. */
  bytes = 0;
  private readonly holding: Holding;
  private readonly chunks: (Chunk | undefined)[] = [];
  private readonly free: number[] = [];

  constructor(holding: Holding) {
    this.holding = holding;
  }

  of(id: number): Chunk {
    return this.chunks[id] as Chunk;
  }

  /** `length` bytes with a batch header in front, for `left` records. Returns the number. */
  add(length: number, left: number): number {
    const buffer = new ArrayBuffer(length);
    const chunk = { bytes: new Uint8Array(buffer), words: new Int32Array(buffer), left };
    const id = this.free.pop() ?? this.chunks.length;
    this.chunks[id] = chunk;
    this.bytes += length;
    this.holding.bytes += length;
    return id;
  }

  /** One record needs it no more. HOT */
  release(id: number): void {
    const chunk = this.chunks[id];
    if (chunk === undefined) return;
    chunk.left--;
    if (chunk.left > 0) return;
    this.bytes -= chunk.bytes.length;
    this.holding.bytes -= chunk.bytes.length;
    this.chunks[id] = undefined;
    this.free.push(id);
  }
}
