// RocketMQ's SQL92 into a program, in one pass over its words:
//
//   condition = part {OR part}          part = term {AND term}          term = {NOT} predicate
//   predicate = operand [ (= | <> | < | <= | > | >=) operand | [NOT] BETWEEN operand AND operand
//             | [NOT] IN (literal {, literal}) | IS [NOT] NULL | [NOT] (CONTAINS | STARTSWITH | ENDSWITH) 'text' ]
//   operand   = name | number | 'text' | TRUE | FALSE | NULL | (condition)
//
// As in RocketMQ only numbers have an order. A property alone asks whether it is TRUE. Beyond RocketMQ: numbers in IN,
// names in back quotes.
import type { RingmqError } from '../base/codes.ts';
import { ProgramBuilder } from './program-builder.ts';
import { checkLength, illegalFilter } from './refusal.ts';
import { type Token, tokensOf } from './sql-lexer.ts';
import { FALSE, OP, SqlProgram, TRUE, UNKNOWN } from './sql-program.ts';

/** Deepest nesting of parentheses. */
export const DEPTH_MAX = 32;

/** Characters of a word in an error. */
const SHOWN_MAX = 40;
const OPERAND = 'a property, a number, a text, TRUE, FALSE, NULL or `(`';

/** A value that no operation was made for yet; undefined where a condition stands: its truth is on the stack. */
type Operand =
  | { readonly kind: 'property'; readonly slot: number; readonly column: number }
  | { readonly kind: 'number'; readonly value: number; readonly column: number }
  | { readonly kind: 'text'; readonly value: string; readonly column: number }
  | { readonly kind: 'flag'; readonly value: boolean; readonly column: number }
  | { readonly kind: 'null'; readonly column: number };

/** In errors. */
const KINDS = { property: 'property', number: 'number', text: 'text', flag: 'truth value', null: 'NULL' } as const;

type Parsed = Operand | undefined;

/** Throws `illegal-filter`. */
export function parseSql(sql: string): SqlProgram {
  checkLength(sql);
  return new SqlParser(sql).parse();
}

class SqlParser {
  private readonly tokens: readonly Token[];
  private readonly program = new ProgramBuilder();
  private at = 0;
  private depth = 0;

  constructor(sql: string) {
    this.tokens = tokensOf(sql);
  }

  parse(): SqlProgram {
    this.asCondition(this.condition());
    if (this.token.kind !== 'end') throw this.unexpected('AND, OR or the end');
    return new SqlProgram(this.program.parts());
  }

  private condition(): Parsed {
    return this.chain('OR', OP.skipIfTrue, OP.or, () => this.chain('AND', OP.skipIfFalse, OP.and, () => this.term()));
  }

  /** One, or several with a keyword between them. */
  private chain(keyword: string, skip: number, join: number, next: () => Parsed): Parsed {
    const first = next();
    if (!this.isKeyword(keyword)) return first;
    this.asCondition(first);
    while (this.tryKeyword(keyword)) {
      const hole = this.program.emit(this.column, skip);
      this.asCondition(next());
      this.program.emit(this.column, join);
      this.program.land(hole);
    }
    return undefined;
  }

  private term(): Parsed {
    let negations = 0;
    while (this.tryKeyword('NOT')) negations++;
    const parsed = this.predicate();
    if (negations === 0) return parsed;
    this.asCondition(parsed);
    this.negate(negations % 2 === 1);
    return undefined;
  }

  private predicate(): Parsed {
    const left = this.operand();
    const { token } = this;
    if (token.kind === 'symbol' && /^(<>|[<>]?=|[<>])$/.test(token.text)) {
      this.at++;
      this.comparison(this.asOperand(left, token), token, this.asOperand(this.operand(), token));
      return undefined;
    }
    if (token.kind !== 'keyword') return left;
    if (this.tryKeyword('IS')) {
      const not = this.tryKeyword('NOT');
      this.expectKeyword('NULL');
      this.program.emit(token.column, OP.isNull, this.property(left, token));
      this.negate(not);
      return undefined;
    }
    const not = this.tryKeyword('NOT');
    const word = this.token;
    if (this.tryKeyword('BETWEEN')) this.between(left, word);
    else if (this.tryKeyword('IN')) this.inList(this.property(left, word), word);
    else if (this.tryKeyword('CONTAINS')) this.search(OP.contains, left, word);
    else if (this.tryKeyword('STARTSWITH')) this.search(OP.startsWith, left, word);
    else if (this.tryKeyword('ENDSWITH')) this.search(OP.endsWith, left, word);
    else if (not) throw this.unexpected('BETWEEN, IN, CONTAINS, STARTSWITH or ENDSWITH');
    else return left;
    this.negate(not);
    return undefined;
  }

  private operand(): Parsed {
    const { kind, text, number, column } = this.token;
    if (this.trySymbol('(')) {
      if (++this.depth > DEPTH_MAX) throw illegalFilter(column, `nested deeper than ${DEPTH_MAX}`);
      const inner = this.condition();
      if (!this.trySymbol(')')) throw this.unexpected('`)`, AND or OR');
      this.depth--;
      return inner;
    }
    if (kind === 'symbol' || kind === 'end') throw this.unexpected(OPERAND);
    if (kind === 'keyword' && !['TRUE', 'FALSE', 'NULL'].includes(text)) throw this.unexpected(OPERAND);
    this.at++;
    if (kind === 'name') return { kind: 'property', slot: this.program.slot(text), column };
    if (kind === 'number') return { kind, value: number, column };
    if (kind === 'text') return { kind, value: text, column };
    return text === 'NULL' ? { kind: 'null', column } : { kind: 'flag', value: text === 'TRUE', column };
  }

  private comparison(left: Operand, { text, column }: Token, right: Operand): void {
    switch (text) {
      case '=':
      case '<>':
        this.equality(left, right, column);
        this.negate(text === '<>');
        break;
      case '<':
        this.order(OP.numberLess, left, right, column);
        break;
      case '<=':
        this.order(OP.numberAtMost, left, right, column);
        break;
      case '>':
        this.order(OP.numberLess, right, left, column);
        break;
      default:
        this.order(OP.numberAtMost, right, left, column);
    }
  }

  private equality(left: Operand, right: Operand, column: number): void {
    const { program } = this;
    if (left.kind === 'null' || right.kind === 'null') {
      program.emit(column, OP.constant, UNKNOWN);
      return;
    }
    const [one, other] = left.kind === 'property' ? [left, right] : [right, left];
    if (one.kind !== 'property') {
      if (left.kind !== right.kind) {
        throw illegalFilter(column, `a ${KINDS[left.kind]} and a ${KINDS[right.kind]} are never equal`);
      }
      const equal = 'value' in one && 'value' in other && one.value === other.value;
      program.emit(column, OP.constant, equal ? TRUE : FALSE);
      return;
    }
    if (other.kind === 'property') program.emit(column, OP.slotEqual, one.slot, other.slot);
    else if (other.kind === 'text') program.emit(column, OP.textEqual, one.slot, program.text(other.value));
    else if (other.kind === 'number') program.emit(column, OP.numberEqual, one.slot, program.number(other.value));
    else if (other.kind === 'flag') program.emit(column, OP.flagEqual, one.slot, Number(other.value));
  }

  private order(op: number, left: Operand, right: Operand, column: number): void {
    const a = this.numeric(left);
    const b = this.numeric(right);
    if (a === undefined || b === undefined) this.program.emit(column, OP.constant, UNKNOWN);
    else this.program.emit(column, op, a, b);
  }

  /** Undefined: NULL. */
  private numeric(operand: Operand): number | undefined {
    if (operand.kind === 'property') return operand.slot;
    if (operand.kind === 'number') return this.program.number(operand.value);
    if (operand.kind === 'null') return undefined;
    const what = operand.kind === 'text' ? 'a text has' : 'TRUE and FALSE have';
    throw illegalFilter(operand.column, `${what} no order; expected a number or a property`);
  }

  private between(left: Parsed, word: Token): void {
    const value = this.asOperand(left, word);
    const low = this.asOperand(this.operand(), word);
    this.expectKeyword('AND');
    const high = this.asOperand(this.operand(), word);
    this.order(OP.numberAtMost, low, value, word.column);
    this.order(OP.numberAtMost, value, high, word.column);
    this.program.emit(word.column, OP.and);
  }

  private inList(slot: number, { column }: Token): void {
    if (!this.trySymbol('(')) throw this.unexpected('`(`');
    const texts: string[] = [];
    const numbers: number[] = [];
    do {
      const { kind, text, number } = this.token;
      if (kind === 'text') texts.push(text);
      else if (kind === 'number') numbers.push(number);
      else throw this.unexpected('a text or a number');
      this.at++;
    } while (this.trySymbol(','));
    if (!this.trySymbol(')')) throw this.unexpected('`,` or `)`');
    this.program.emit(column, OP.isIn, slot, this.program.list(column, texts, numbers));
  }

  private search(op: number, left: Parsed, word: Token): void {
    const slot = this.property(left, word);
    const { kind, text } = this.token;
    if (kind !== 'text') throw this.unexpected('a text');
    this.at++;
    this.program.emit(word.column, op, slot, this.program.text(text));
  }

  /** Puts the truth of what was parsed on the stack. */
  private asCondition(parsed: Parsed): void {
    if (parsed === undefined) return;
    const { kind, column } = parsed;
    if (kind === 'property') this.program.emit(column, OP.flagEqual, parsed.slot, 1);
    else if (kind === 'flag') this.program.emit(column, OP.constant, parsed.value ? TRUE : FALSE);
    else if (kind === 'null') this.program.emit(column, OP.constant, UNKNOWN);
    else throw illegalFilter(column, `a ${kind} alone is no condition; expected a comparison`);
  }

  private asOperand(parsed: Parsed, { text, column }: Token): Operand {
    if (parsed) return parsed;
    throw illegalFilter(column, `\`${text}\` compares values, and what stands in parentheses is a condition`);
  }

  private property(parsed: Parsed, { text, column }: Token): number {
    if (parsed?.kind === 'property') return parsed.slot;
    throw illegalFilter(parsed?.column ?? column, `\`${text}\` asks about a property; expected its name before it`);
  }

  private negate(not: boolean): void {
    if (not) this.program.emit(this.column, OP.not);
  }

  private get token(): Token {
    return this.tokens[this.at];
  }

  private get column(): number {
    return this.token.column;
  }

  private isKeyword(text: string): boolean {
    return this.token.kind === 'keyword' && this.token.text === text;
  }

  private tryKeyword(text: string): boolean {
    const is = this.isKeyword(text);
    if (is) this.at++;
    return is;
  }

  private expectKeyword(text: string): void {
    if (!this.tryKeyword(text)) throw this.unexpected(text);
  }

  private trySymbol(text: string): boolean {
    const is = this.token.kind === 'symbol' && this.token.text === text;
    if (is) this.at++;
    return is;
  }

  private unexpected(expected: string): RingmqError {
    const { kind, text, column } = this.token;
    const shown = text.length > SHOWN_MAX ? `${text.slice(0, SHOWN_MAX)}…` : text;
    const found = kind === 'end' ? 'it ends' : `found \`${kind === 'text' ? `'${shown}'` : shown}\``;
    return illegalFilter(column, `${found}; expected ${expected}`);
  }
}
