// What is known of each message of a lease window: columns, one slot an offset, in a ring that grows.

/** Not read yet (or read and forgotten); it may have been delivered before all the same. */
export const UNREAD = 0;
/** Waits for somebody to receive it. */
export const READY = 1;
/** An earlier message of its key is not acknowledged. */
export const BLOCKED = 2;
/** Belongs to a consumer, or (token 0) to nobody, until a time. */
export const LEASED = 3;
/** On its way to a retry topic or the dead letters. */
export const MOVING = 4;
export const ACKED = 5;

/** Of its key: nothing, the earliest unacknowledged one, or one behind it. */
export const UNCHAINED = 0;
export const HEAD = 1;
export const FOLLOWER = 2;

/** No bytes are held. */
export const NO_CHUNK = -1;

export class LeaseSlots {
  readonly count: number;
  readonly mask: number;
  readonly state: Uint8Array;
  readonly chained: Uint8Array;
  readonly priority: Uint8Array;
  readonly deliveries: Uint16Array;
  readonly token: Int32Array;
  /** Milliseconds since 1970. */
  readonly until: Float64Array;
  /** Hash of the key; 0: none. */
  readonly key: Int32Array;
  /** Offsets to the next message of the key; 0: it is the last. */
  readonly next: Int32Array;
  /** Where its bytes are: a number that the owner of the window chose. */
  readonly chunk: Int32Array;
  /** Byte place of the record in the chunk. */
  readonly at: Int32Array;

  /** `count`: a power of two. */
  constructor(count: number) {
    this.count = count;
    this.mask = count - 1;
    this.state = new Uint8Array(count);
    this.chained = new Uint8Array(count);
    this.priority = new Uint8Array(count);
    this.deliveries = new Uint16Array(count);
    this.token = new Int32Array(count);
    this.until = new Float64Array(count);
    this.key = new Int32Array(count);
    this.next = new Int32Array(count);
    this.chunk = new Int32Array(count).fill(NO_CHUNK);
    this.at = new Int32Array(count);
  }

  /** The slot says nothing any more. HOT */
  clear(slot: number): void {
    this.state[slot] = UNREAD;
    this.chained[slot] = UNCHAINED;
    this.deliveries[slot] = 0;
    this.token[slot] = 0;
    this.next[slot] = 0;
    this.chunk[slot] = NO_CHUNK;
  }

  /** Copies what `from` knows of one offset. */
  copy(from: LeaseSlots, offset: number): void {
    const a = offset & from.mask;
    const b = offset & this.mask;
    this.state[b] = from.state[a];
    this.chained[b] = from.chained[a];
    this.priority[b] = from.priority[a];
    this.deliveries[b] = from.deliveries[a];
    this.token[b] = from.token[a];
    this.until[b] = from.until[a];
    this.key[b] = from.key[a];
    this.next[b] = from.next[a];
    this.chunk[b] = from.chunk[a];
    this.at[b] = from.at[a];
  }
}
