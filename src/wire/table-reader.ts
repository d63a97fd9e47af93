// One FlatBuffers table of a frame. A field is named by its slot: its place in the order of the schema.
// Unknown slots are skipped, so that a newer peer may add fields at the end of a table; absent slots read as
// the schema's default.
import { COMMAND_HEADER_BYTES, COMMAND_ITEMS_MAX } from './frame.ts';
import type { FrameBytes } from './frame-bytes.ts';

const WORD = 4;
const VTABLE_HEADER_BYTES = 4;
const INT32_MIN = -2_147_483_648;
const INT32_MAX = 2_147_483_647;

export class TableReader {
  private readonly frame: FrameBytes;
  private readonly place: number;
  private readonly length: number;
  private readonly vtable: number;
  private readonly vtableLength: number;

  /** Checks the table at `place` (which indirect() gave) and its vtable. */
  constructor(frame: FrameBytes, place: number, what: string) {
    this.frame = frame;
    this.place = place;
    this.vtable = place - frame.int32At(place);
    const last = frame.length - VTABLE_HEADER_BYTES;
    if (this.vtable < COMMAND_HEADER_BYTES || this.vtable > last || this.vtable % 2 !== 0) {
      frame.fail(`${what} has no vtable`);
    }
    this.vtableLength = frame.uint16At(this.vtable);
    this.length = frame.uint16At(this.vtable + 2);
    const fits = this.vtable + this.vtableLength <= frame.length;
    if (!fits || this.vtableLength < VTABLE_HEADER_BYTES || this.vtableLength % 2 !== 0 || this.length < WORD) {
      frame.fail(`${what} has a broken vtable`);
    }
    frame.spend(place, this.length, what);
  }

  flag(slot: number, what: string): boolean {
    const at = this.find(slot, 1, what);
    return at !== 0 && this.frame.uint8At(at) !== 0;
  }

  uint8(slot: number, what: string): number {
    const at = this.find(slot, 1, what);
    return at === 0 ? 0 : this.frame.uint8At(at);
  }

  /** A uint8 that picks one of `names`. */
  choice<T>(slot: number, what: string, names: readonly T[]): T {
    const value = this.uint8(slot, what);
    if (value >= names.length) this.frame.fail(`${what} is ${value}, above ${names.length - 1}`);
    return names[value];
  }

  int32(slot: number, what: string, min = INT32_MIN, absent = 0): number {
    const at = this.find(slot, WORD, what);
    return at === 0 ? absent : this.frame.countAt(at, what, min);
  }

  /** An int32 that is not negative: counts, lengths, ids. */
  count(slot: number, what: string, max = INT32_MAX): number {
    const value = this.int32(slot, what, 0);
    if (value > max) this.frame.fail(`${what} is ${value}, above ${max}`);
    return value;
  }

  uint32(slot: number, what: string): number {
    const at = this.find(slot, WORD, what);
    return at === 0 ? 0 : this.frame.uint32At(at);
  }

  /** Offset of a record, or -1. */
  offset(slot: number, what: string): number {
    return this.safe(slot, what, -1);
  }

  /** A count of milliseconds or bytes that may be large. */
  natural(slot: number, what: string): number {
    return this.safe(slot, what, 0);
  }

  /** Milliseconds since 1970. */
  time(slot: number, what: string): number {
    return this.safe(slot, what, 0);
  }

  /** Text that may be absent: ''. */
  text(slot: number, what: string): string {
    const at = this.find(slot, WORD, what);
    return at === 0 ? '' : this.frame.textAt(this.frame.indirect(at, what), what);
  }

  /** Text that the schema requires. */
  requiredText(slot: number, what: string): string {
    if (this.find(slot, WORD, what) === 0) this.frame.fail(`${what} is missing`);
    return this.text(slot, what);
  }

  bytes(slot: number, what: string): Uint8Array {
    const at = this.find(slot, WORD, what);
    return at === 0 ? new Uint8Array(0) : this.frame.bytesAt(this.frame.indirect(at, what), what);
  }

  table(slot: number, what: string): TableReader {
    const at = this.find(slot, WORD, what);
    if (at === 0) this.frame.fail(`${what} is missing`);
    return new TableReader(this.frame, this.frame.indirect(at, what), what);
  }

  /** A vector of at most `max` structs or scalars; `read` gets the place of each. */
  structs<T>(
    slot: number,
    itemBytes: number,
    what: string,
    read: (frame: FrameBytes, place: number) => T,
    max = COMMAND_ITEMS_MAX,
  ): T[] {
    const at = this.find(slot, WORD, what);
    if (at === 0) return [];
    const vector = this.frame.indirect(at, what);
    const count = this.frame.items(vector, itemBytes, what);
    if (count > max) this.frame.fail(`${what}: at most ${max} are taken, these are ${count}`);
    const result: T[] = [];
    for (let i = 0; i < count; i++) result.push(read(this.frame, vector + WORD + i * itemBytes));
    return result;
  }

  /** A vector of tables. */
  tables<T>(slot: number, what: string, read: (table: TableReader) => T): T[] {
    return this.structs(slot, WORD, what, (frame, place) => {
      return read(new TableReader(frame, frame.indirect(place, what), what));
    });
  }

  private safe(slot: number, what: string, min: number): number {
    const at = this.find(slot, 8, what);
    return at === 0 ? 0 : this.frame.safeAt(at, what, min);
  }

  /** Place of a field of `bytes` bytes, or 0 if it is absent. */
  private find(slot: number, bytes: number, what: string): number {
    const entry = VTABLE_HEADER_BYTES + slot * 2;
    if (entry >= this.vtableLength) return 0;
    const distance = this.frame.uint16At(this.vtable + entry);
    if (distance === 0) return 0;
    const at = this.place + distance;
    if (distance < WORD || distance + bytes > this.length || at % bytes !== 0) this.frame.fail(`${what} is misplaced`);
    return at;
  }
}
