// A condition as a flat program: three numbers an operation, for a machine with a stack of truth values. No recursion,
// no code that is generated, no object for a record.
//
// SQL's logic has three values. A property that a message does not have is NULL, and what compares NULL is unknown; so
// is comparing a property, which is always text, with a number or a truth value that the text is not. NOT unknown is
// unknown; a message is delivered only if the whole condition is true.
import { assert } from '../base/fault.ts';
import type { RecordView } from '../record/batch-view.ts';
import { bordersOf, PropertyPlaces } from './property-places.ts';

export const FALSE = 0;
export const UNKNOWN = 1;
export const TRUE = 2;
export type Truth = typeof FALSE | typeof UNKNOWN | typeof TRUE;

/** What an operation does with the stack; `a` and `b` are its operands. */
export const OP = {
  /** Pushes `a`. */
  constant: 0,
  /** Replace the top, or the two on top, by what follows from them. */
  not: 1,
  and: 2,
  or: 3,
  /** Go on at operation `a` if the top is false (true): what follows cannot change it. */
  skipIfFalse: 4,
  skipIfTrue: 5,
  /** Push how two numbers compare. `a`, `b`: a slot, or ~ the number of a constant. */
  numberEqual: 6,
  numberLess: 7,
  numberAtMost: 8,
  /** Push what is so of slot `a`. `b`: number of a text or list, another slot, or 1 for TRUE. */
  textEqual: 9,
  slotEqual: 10,
  flagEqual: 11,
  contains: 12,
  startsWith: 13,
  endsWith: 14,
  isNull: 15,
  isIn: 16,
} as const;

export const OPERATION_WORDS = 3;

/** What IN compares with. */
export interface List {
  readonly texts: readonly Uint8Array[];
  readonly numbers: readonly number[];
}

/** What the parser makes. */
export interface ProgramParts {
  readonly code: readonly number[];
  readonly names: readonly string[];
  readonly numbers: readonly number[];
  readonly texts: readonly Uint8Array[];
  readonly lists: readonly List[];
}

export class SqlProgram {
  private readonly code: Int32Array;
  private readonly numbers: Float64Array;
  private readonly texts: readonly Uint8Array[];
  private readonly borders: readonly Int32Array[];
  private readonly lists: readonly List[];
  private readonly places: PropertyPlaces;
  private readonly stack: Uint8Array;

  constructor(parts: ProgramParts) {
    this.code = Int32Array.from(parts.code);
    this.numbers = Float64Array.from(parts.numbers);
    this.texts = parts.texts;
    this.borders = parts.texts.map(bordersOf);
    this.lists = parts.lists;
    this.places = new PropertyPlaces(parts.names);
    this.stack = new Uint8Array(parts.code.length / OPERATION_WORDS);
  }

  /** True if the condition is true of the record: neither false nor unknown. HOT */
  matches(record: RecordView): boolean {
    return this.evaluate(record) === TRUE;
  }

  evaluate(record: RecordView): Truth {
    const { code, stack } = this;
    this.places.of(record);
    let top = -1;
    for (let at = 0; at < code.length; at += OPERATION_WORDS) {
      const a = code[at + 1];
      switch (code[at]) {
        case OP.not:
          stack[top] = TRUE - stack[top];
          break;
        case OP.and:
          top--;
          if (stack[top + 1] < stack[top]) stack[top] = stack[top + 1];
          break;
        case OP.or:
          top--;
          if (stack[top + 1] > stack[top]) stack[top] = stack[top + 1];
          break;
        case OP.skipIfFalse:
          if (stack[top] === FALSE) at = a * OPERATION_WORDS - OPERATION_WORDS;
          break;
        case OP.skipIfTrue:
          if (stack[top] === TRUE) at = a * OPERATION_WORDS - OPERATION_WORDS;
          break;
        default:
          stack[++top] = this.leaf(code[at], a, code[at + 2]);
      }
    }
    assert(top === 0, 'filter: a program leaves one value');
    return stack[0] as Truth;
  }

  private leaf(op: number, a: number, b: number): Truth {
    const { places } = this;
    if (op === OP.constant) return a as Truth;
    if (op <= OP.numberAtMost) return this.compareNumbers(op, a, b);
    if (op === OP.isNull) return truth(places.isNull(a));
    if (places.isNull(a)) return UNKNOWN;
    switch (op) {
      case OP.textEqual:
        return truth(places.equals(a, this.texts[b]));
      case OP.slotEqual:
        return places.isNull(b) ? UNKNOWN : truth(places.equal(a, b));
      case OP.flagEqual:
        return this.isFlag(a, b);
      case OP.contains:
        return truth(places.contains(a, this.texts[b], this.borders[b]));
      case OP.startsWith:
        return truth(places.startsWith(a, this.texts[b]));
      case OP.endsWith:
        return truth(places.endsWith(a, this.texts[b]));
      default:
        return this.isIn(a, this.lists[b]);
    }
  }

  private compareNumbers(op: number, a: number, b: number): Truth {
    const left = this.number(a);
    const right = this.number(b);
    if (Number.isNaN(left) || Number.isNaN(right)) return UNKNOWN;
    if (op === OP.numberEqual) return truth(left === right);
    return truth(op === OP.numberLess ? left < right : left <= right);
  }

  private number(operand: number): number {
    return operand < 0 ? this.numbers[~operand] : this.places.number(operand);
  }

  private isFlag(slot: number, flag: number): Truth {
    const value = this.places.flag(slot);
    return value === undefined ? UNKNOWN : truth(value === (flag === 1));
  }

  /** As if written out: equal to the first OR equal to the second … */
  private isIn(slot: number, { texts, numbers }: List): Truth {
    const { places } = this;
    for (let i = 0; i < texts.length; i++) if (places.equals(slot, texts[i])) return TRUE;
    if (numbers.length === 0) return FALSE;
    const number = places.number(slot);
    if (Number.isNaN(number)) return UNKNOWN;
    for (let i = 0; i < numbers.length; i++) if (numbers[i] === number) return TRUE;
    return FALSE;
  }
}

function truth(value: boolean): Truth {
  return value ? TRUE : FALSE;
}
