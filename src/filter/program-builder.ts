// Collects the operations and operands of a program while a condition is parsed.
import { utf8 } from '../record/text.ts';
import { illegalFilter } from './refusal.ts';
import { type List, OP, OPERATION_WORDS, type ProgramParts } from './sql-program.ts';

/** Most operations of a program; each member of a list counts as one. */
export const OPERATIONS_MAX = 1_024;
/** An operation that reads the whole of a property, which may have 32 KiB, counts as so many. */
const WHOLE_PROPERTY = 16;

export class ProgramBuilder {
  private readonly code: number[] = [];
  private readonly slots = new Map<string, number>();
  private readonly numbers: number[] = [];
  private readonly texts: Uint8Array[] = [];
  private readonly lists: List[] = [];
  private operations = 0;

  /** Appends an operation and returns its number. `column`: where it comes from. */
  emit(column: number, op: number, a = 0, b = 0): number {
    this.count(column, op === OP.contains || op === OP.slotEqual ? WHOLE_PROPERTY : 1);
    this.code.push(op, a, b);
    return this.next - 1;
  }

  /** The operation with this number goes on behind what was appended last. */
  land(operation: number): void {
    this.code[operation * OPERATION_WORDS + 1] = this.next;
  }

  /** Slot of a property. */
  slot(name: string): number {
    const known = this.slots.get(name);
    if (known !== undefined) return known;
    this.slots.set(name, this.slots.size);
    return this.slots.size - 1;
  }

  /** A number as an operand beside slots. */
  number(value: number): number {
    return ~(this.numbers.push(value) - 1);
  }

  text(value: string): number {
    return this.texts.push(utf8(value)) - 1;
  }

  list(column: number, texts: readonly string[], numbers: readonly number[]): number {
    this.count(column, texts.length + numbers.length);
    return this.lists.push({ texts: texts.map(utf8), numbers }) - 1;
  }

  parts(): ProgramParts {
    const { code, slots, numbers, texts, lists } = this;
    return { code, names: [...slots.keys()], numbers, texts, lists };
  }

  private get next(): number {
    return this.code.length / OPERATION_WORDS;
  }

  private count(column: number, more: number): void {
    this.operations += more;
    if (this.operations > OPERATIONS_MAX) throw illegalFilter(column, `more than ${OPERATIONS_MAX} operations`);
  }
}
