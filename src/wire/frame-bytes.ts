// Checked reading of FlatBuffers that somebody else wrote. The JavaScript runtime of FlatBuffers has no
// verifier and its accessors follow any offset, so nothing here trusts a length or an offset before it was
// compared with the frame.
//
// (I1) Nothing outside the frame is read.
// (I2) Every table, vector and string costs its bytes from a budget of one frame length *before* it is
//      walked. Offsets that point many times at the same bytes therefore cannot make the result larger than
//      the frame could hold: time and memory are O(frame length). The catch: frames whose strings are shared
//      between tables are refused unless the sharing is small. Writers do not share strings unless they are
//      asked to.
// (I3) The schema is not recursive and each level is read by its own function: depth is bounded by
//      construction.
import { ALIGN_BYTES } from '../../native-layout/layout.ts';
import type { CodeName } from '../base/codes.ts';
import { COMMAND_BYTES_MIN, COMMAND_ITEMS_MAX, COMMAND_MARK, CommandError, isCommand } from './frame.ts';

const TWO_32 = 4_294_967_296;
const IDENTIFIER = 0x43514d52; // "RMQC"
const IDENTIFIER_AT = 12;
const ROOT_AT = 8;
const WORD = 4;

// Fatal: a wrong byte is an error, not a replacement character. A byte order mark belongs to the text.
const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** One command frame: bounds, budget and the scalars in it. Places are bytes from the start of the frame. */
export class FrameBytes {
  readonly bytes: Uint8Array;
  /** True if `bytes` was copied for this frame and nobody else holds it. */
  readonly copied: boolean;
  /** Known once the root has been read. */
  correlation = 0;
  private readonly view: DataView;
  private budgetBytes: number;
  private itemsLeft = COMMAND_ITEMS_MAX;

  /**
   * Takes any view. Shared memory is copied: it could change between check and use, and browsers decode no
   * text in it.
   */
  constructor(bytes: Uint8Array) {
    this.copied = !(bytes.buffer instanceof ArrayBuffer);
    // Not slice(): that of Node's Buffer copies nothing.
    this.bytes = this.copied ? new Uint8Array(bytes) : bytes;
    this.view = new DataView(this.bytes.buffer, this.bytes.byteOffset, this.bytes.length);
    this.budgetBytes = bytes.length;
    this.checkHeader();
  }

  get length(): number {
    return this.bytes.length;
  }

  /** Place of the root table. */
  root(): number {
    return this.indirect(ROOT_AT, 'frame');
  }

  fail(what: string, code: CodeName = 'malformed-command'): never {
    throw new CommandError(code, what, this.correlation);
  }

  /** Takes `lengthBytes` at `place` from the budget, or throws. The length may be any non-negative number. */
  spend(place: number, lengthBytes: number, what: string): void {
    if (lengthBytes > this.length - place) this.fail(`${what} runs past the end of the frame`);
    this.budgetBytes -= lengthBytes;
    if (this.budgetBytes < 0) this.fail(`${what} repeats more bytes than the frame has`);
  }

  /** Where the offset at `place` points: always forward, 4-byte aligned and inside. */
  indirect(place: number, what: string): number {
    const distance = this.view.getUint32(place, true);
    const target = place + distance;
    if (distance === 0 || target > this.length - WORD || target % WORD !== 0) this.fail(`${what} points nowhere`);
    return target;
  }

  /** Checks a vector and returns how many items it has; they start 4 bytes after `vector`. */
  count(vector: number, itemBytes: number, what: string): number {
    const count = this.view.getUint32(vector, true);
    this.spend(vector, WORD + count * itemBytes, what);
    return count;
  }

  /** The same for items that become values of their own. */
  items(vector: number, itemBytes: number, what: string): number {
    const count = this.count(vector, itemBytes, what);
    this.itemsLeft -= count;
    if (this.itemsLeft < 0) this.fail(`${what}: a command has at most ${COMMAND_ITEMS_MAX} items`);
    return count;
  }

  textAt(vector: number, what: string): string {
    const length = this.count(vector, 1, what);
    const start = vector + WORD;
    // Behind the frame's end this is undefined, which is not 0 either.
    if (this.bytes[start + length] !== 0) this.fail(`${what} does not end with 0`);
    try {
      return decoder.decode(this.bytes.subarray(start, start + length));
    } catch {
      return this.fail(`${what} is not UTF-8`);
    }
  }

  /** A copy that starts 8-byte aligned, so that batches can be read in place. */
  bytesAt(vector: number, what: string): Uint8Array {
    const length = this.count(vector, 1, what);
    const start = vector + WORD;
    const span = this.bytes.subarray(start, start + length);
    return this.copied && span.byteOffset % ALIGN_BYTES === 0 ? span : new Uint8Array(span);
  }

  // Scalars: `place` was checked by whoever found it.

  uint8At(place: number): number {
    return this.bytes[place];
  }

  uint16At(place: number): number {
    return this.view.getUint16(place, true);
  }

  int32At(place: number): number {
    return this.view.getInt32(place, true);
  }

  uint32At(place: number): number {
    return this.view.getUint32(place, true);
  }

  /** An int32 of at least `min`. */
  countAt(place: number, what: string, min = 0): number {
    const value = this.view.getInt32(place, true);
    if (value < min) this.fail(`${what} is ${value}, below ${min}`);
    return value;
  }

  /** An int64 of at least `min` that a number holds exactly. */
  safeAt(place: number, what: string, min: number): number {
    const value = this.view.getInt32(place + WORD, true) * TWO_32 + this.view.getUint32(place, true);
    if (value < min || !Number.isSafeInteger(value)) this.fail(`${what} is out of range`);
    return value;
  }

  private checkHeader(): void {
    const length = this.length;
    if (length < COMMAND_BYTES_MIN || !isCommand(this.bytes)) this.fail(`no command starts with mark ${COMMAND_MARK}`);
    if (length % ALIGN_BYTES !== 0) this.fail('the length is no multiple of 8');
    if (this.int32At(WORD) !== length) this.fail(`the length says ${this.int32At(WORD)}, the frame has ${length}`);
    if (this.int32At(IDENTIFIER_AT) !== IDENTIFIER) this.fail('the identifier is not RMQC');
  }
}
