// Ledgers: acks that wait for the disk, one ring of entries for each worker and level (native-layout/store.ts).
//
// Who writes and reads: the broker worker, both ends; after its death, its successor.
// I1  The words of an entry are written before the TAIL that covers them is stored: a successor finds whole entries.
// I2  HEAD is stored after the answers were shown: a death in between answers again, which publishers step over.
// I3  An entry's words are used again only behind a HEAD that was stored.
import {
  LEDGER_BASE_HIGH,
  LEDGER_BASE_LOW,
  LEDGER_CONTROL_BYTES,
  LEDGER_COUNT,
  LEDGER_ENTRIES,
  LEDGER_ENTRY_WORDS,
  LEDGER_EPOCH,
  LEDGER_GENERATION,
  LEDGER_HEAD,
  LEDGER_PARTITION,
  LEDGER_POSITION,
  LEDGER_REQUEST,
  LEDGER_SEAT,
  LEDGER_STATUS,
  LEDGER_TAIL,
} from '../../native-layout/store.ts';
import { assert } from '../base/fault.ts';

const TWO_32 = 4_294_967_296;

/** An ack that waits, as numbers. One object, filled again and again. */
export class WaitingAck {
  /** Seat of the publisher, and which of its holders. */
  seat = 0;
  generation = 0;
  /** The publisher's own number of the batch. */
  request = 0;
  /** Id of the partition, and its epoch. */
  partition = 0;
  epoch = 0;
  /** Ring position that must be stored. */
  position = 0;
  /** -1: not known any more (of an old duplicate). */
  baseOffset = 0;
  count = 0;
  /** Number of the code to answer with. */
  status = 0;
}

export class AckLedger {
  private readonly words: Int32Array;
  private readonly control: number;
  private readonly data: number;
  private readonly entries: number;
  private head: number;
  private released: number;
  private tail: number;
  private published: number;
  /** Entries before this position may be of partitions that were deleted since. */
  private doubted: number;

  /** `byte`: see ledgerPlace(). `entries`, a power of two, is what the place has. */
  constructor(words: Int32Array, byte: number, entries = LEDGER_ENTRIES) {
    assert((entries & (entries - 1)) === 0, `a ledger of ${entries} entries: no power of two`);
    this.words = words;
    this.control = byte >> 2;
    this.data = (byte + LEDGER_CONTROL_BYTES) >> 2;
    this.entries = entries;
    this.head = Atomics.load(words, this.control + LEDGER_HEAD); // OBSERVE: a predecessor's release()
    this.released = this.head;
    this.tail = Atomics.load(words, this.control + LEDGER_TAIL); // OBSERVE: a predecessor's publish()
    this.published = this.tail;
    this.doubted = this.tail;
  }

  /** Acks that wait. HOT */
  get size(): number {
    return (this.tail - this.head) | 0;
  }

  /** True if the next push() has room. HOT */
  hasRoom(): boolean {
    return ((this.tail - this.released) | 0) < this.entries;
  }

  /** Adds one. Only after hasRoom(). A successor finds it after publish(). HOT */
  push(ack: WaitingAck): void {
    const { words } = this;
    const at = this.wordOf(this.tail);
    words[at + LEDGER_SEAT] = ack.seat;
    words[at + LEDGER_GENERATION] = ack.generation;
    words[at + LEDGER_REQUEST] = ack.request;
    words[at + LEDGER_PARTITION] = ack.partition;
    words[at + LEDGER_EPOCH] = ack.epoch;
    words[at + LEDGER_POSITION] = ack.position;
    words[at + LEDGER_BASE_LOW] = ack.baseOffset | 0;
    words[at + LEDGER_BASE_HIGH] = Math.floor(ack.baseOffset / TWO_32);
    words[at + LEDGER_COUNT] = ack.count;
    words[at + LEDGER_STATUS] = ack.status;
    this.tail = (this.tail + 1) | 0;
  }

  /** Shows a successor what was pushed. HOT */
  publish(): void {
    if (this.published === this.tail) return;
    this.published = this.tail;
    Atomics.store(this.words, this.control + LEDGER_TAIL, this.tail); // PUBLISH: entries -> constructor
  }

  /** Fills in the oldest one; false if none waits. HOT */
  peek(ack: WaitingAck): boolean {
    if (this.head === this.tail) return false;
    this.read(this.head, ack);
    return true;
  }

  /** Routes have changed: the partition of any ack that waits now may be gone. */
  doubt(): void {
    this.doubted = this.tail;
  }

  /** True if routes have changed since the oldest one was added (or it is a predecessor's). HOT */
  get isDoubted(): boolean {
    return ((this.doubted - this.head) | 0) > 0;
  }

  /** Steps over the oldest one. HOT */
  pop(): void {
    this.head = (this.head + 1) | 0;
  }

  /** The answers to what was popped can be seen: a successor does not repeat them. HOT */
  release(): void {
    if (this.released === this.head) return;
    this.released = this.head;
    Atomics.store(this.words, this.control + LEDGER_HEAD, this.head); // PUBLISH: free entries -> constructor
  }

  /** Calls `visit` with the seat of every ack that waits. */
  eachSeat(visit: (seat: number) => void): void {
    for (let position = this.head; position !== this.tail; position = (position + 1) | 0) {
      visit(this.words[this.wordOf(position) + LEDGER_SEAT]);
    }
  }

  private wordOf(position: number): number {
    return this.data + (position & (this.entries - 1)) * LEDGER_ENTRY_WORDS;
  }

  private read(position: number, ack: WaitingAck): void {
    const { words } = this;
    const at = this.wordOf(position);
    ack.seat = words[at + LEDGER_SEAT];
    ack.generation = words[at + LEDGER_GENERATION];
    ack.request = words[at + LEDGER_REQUEST];
    ack.partition = words[at + LEDGER_PARTITION];
    ack.epoch = words[at + LEDGER_EPOCH];
    ack.position = words[at + LEDGER_POSITION];
    ack.baseOffset = words[at + LEDGER_BASE_HIGH] * TWO_32 + (words[at + LEDGER_BASE_LOW] >>> 0);
    ack.count = words[at + LEDGER_COUNT];
    ack.status = words[at + LEDGER_STATUS];
  }
}
