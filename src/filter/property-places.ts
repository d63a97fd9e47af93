// Where a record's properties stand: found in place, without decoding what nobody asks for. Their bytes come from
// producers: what cannot be read counts as absent, as in src/record/properties.ts, and nothing is read beyond them.
import { align8 } from '../../native-layout/layout.ts';
import { RECORD_KEY_LENGTH } from '../../native-layout/record.ts';
import type { RecordView } from '../record/batch-view.ts';
import { fromUtf8, utf8 } from '../record/text.ts';

/** The names that stand for a message's tag and key. */
const TAGS = 'TAGS';
const KEYS = 'KEYS';
const ABSENT = -1;
const WORD = 4;
/** A FlatBuffers vtable: its length, the table's length, then a uint16 for each field. */
const FIRST_FIELD = 4;
const KEY_FIELD = 4;
const VALUE_FIELD = 6;
/** Digits that a double holds exactly. */
const EXACT_DIGITS = 15;
const ZERO = 48;
const NINE = 57;
const MINUS = 45;
/** Between an upper and a lower case letter of ASCII. */
const CASE_BIT = 32;
const TRUE_WORD = utf8('true');
const FALSE_WORD = utf8('false');
const NUMBER = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i;
/** Longer texts are no numbers. */
const NUMBER_TEXT_MAX = 64;

/** The properties that a program asks for; each has a slot. One record at a time. */
export class PropertyPlaces {
  private readonly names: readonly Uint8Array[];
  private readonly tagSlot: number;
  private readonly keySlot: number;
  private readonly starts: Int32Array;
  private readonly ends: Int32Array;
  private readonly wanted: number;
  private bytes: Uint8Array = new Uint8Array(0);
  /** First byte of the record's properties, and the one after them. */
  private start = 0;
  private end = 0;

  constructor(names: readonly string[]) {
    this.tagSlot = names.indexOf(TAGS);
    this.keySlot = names.indexOf(KEYS);
    this.names = names.map(utf8);
    this.starts = new Int32Array(names.length);
    this.ends = new Int32Array(names.length);
    this.wanted = names.length - Number(this.tagSlot >= 0) - Number(this.keySlot >= 0);
  }

  /** Looks at another record. HOT */
  of(record: RecordView): void {
    const { starts, ends, tagSlot, keySlot } = this;
    this.bytes = record.bytes;
    starts.fill(ABSENT);
    const { tagAt, tagLength } = record;
    const keyAt = record.bodyAt + record.bodyLength;
    if (tagSlot >= 0 && tagLength > 0) {
      starts[tagSlot] = tagAt;
      ends[tagSlot] = tagAt + tagLength;
    }
    if (keySlot >= 0 && tagAt > keyAt) {
      starts[keySlot] = keyAt;
      ends[keySlot] = tagAt;
    }
    const length = record.words[(record.at + RECORD_KEY_LENGTH) >> 2] >>> 16;
    if (length > 0 && this.wanted > 0) this.find(align8(tagAt + tagLength), length);
  }

  isNull(slot: number): boolean {
    return this.starts[slot] === ABSENT;
  }

  /** False for NULL. HOT */
  equals(slot: number, text: Uint8Array): boolean {
    return this.ends[slot] - this.starts[slot] === text.length && this.startsWith(slot, text);
  }

  /** Both are present. HOT */
  equal(one: number, other: number): boolean {
    const { bytes, starts, ends } = this;
    const length = ends[one] - starts[one];
    if (ends[other] - starts[other] !== length) return false;
    for (let i = 0; i < length; i++) if (bytes[starts[one] + i] !== bytes[starts[other] + i]) return false;
    return true;
  }

  startsWith(slot: number, text: Uint8Array): boolean {
    return this.isAt(this.starts[slot], slot, text);
  }

  endsWith(slot: number, text: Uint8Array): boolean {
    return this.isAt(this.ends[slot] - text.length, slot, text);
  }

  /** Linear in the length of the property, whatever the two texts are: Knuth, Morris and Pratt (1977). */
  contains(slot: number, text: Uint8Array, borders: Int32Array): boolean {
    const { bytes } = this;
    const end = this.ends[slot];
    let matched = 0;
    for (let at = this.starts[slot]; at < end && matched < text.length; at++) {
      while (matched > 0 && text[matched] !== bytes[at]) matched = borders[matched - 1];
      if (text[matched] === bytes[at]) matched++;
    }
    return matched === text.length;
  }

  /** TRUE or FALSE in any case; undefined if the text is neither. The property is present. */
  flag(slot: number): boolean | undefined {
    if (this.isWord(slot, TRUE_WORD)) return true;
    return this.isWord(slot, FALSE_WORD) ? false : undefined;
  }

  /** The number that the text is; NaN if it is none, or NULL. Short whole numbers cost no string. HOT */
  number(slot: number): number {
    const { bytes } = this;
    const start = this.starts[slot];
    const end = this.ends[slot];
    if (start === ABSENT) return Number.NaN;
    let at = start;
    const negative = bytes[at] === MINUS;
    if (negative) at++;
    if (at >= end || end - at > EXACT_DIGITS) return this.slowNumber(start, end);
    let value = 0;
    for (; at < end; at++) {
      const digit = bytes[at];
      if (digit < ZERO || digit > NINE) return this.slowNumber(start, end);
      value = value * 10 + (digit - ZERO);
    }
    return negative ? -value : value;
  }

  private slowNumber(start: number, end: number): number {
    if (end - start > NUMBER_TEXT_MAX) return Number.NaN;
    return numberOf(fromUtf8(this.bytes, start, end));
  }

  private isWord(slot: number, lowerCase: Uint8Array): boolean {
    const start = this.starts[slot];
    if (this.ends[slot] - start !== lowerCase.length) return false;
    for (let i = 0; i < lowerCase.length; i++) if ((this.bytes[start + i] | CASE_BIT) !== lowerCase[i]) return false;
    return true;
  }

  private isAt(at: number, slot: number, text: Uint8Array): boolean {
    const { bytes } = this;
    if (at < this.starts[slot] || at + text.length > this.ends[slot]) return false;
    for (let i = 0; i < text.length; i++) if (bytes[at + i] !== text[i]) return false;
    return true;
  }

  /** Walks the FlatBuffers table of properties; the last one of a name counts. */
  private find(start: number, length: number): void {
    this.start = start;
    this.end = start + length;
    const entries = this.follow(this.field(this.follow(start), FIRST_FIELD));
    if (entries < 0) return;
    const count = this.int32(entries);
    for (let i = 0, at = entries + WORD; i < count && at + WORD <= this.end; i++, at += WORD) {
      const entry = this.follow(at);
      const key = this.follow(this.field(entry, KEY_FIELD));
      const value = this.follow(this.field(entry, VALUE_FIELD));
      if (key >= 0 && value >= 0) this.take(key, value);
    }
  }

  private take(key: number, value: number): void {
    const { names, bytes } = this;
    const keyLength = this.int32(key);
    const valueLength = this.int32(value);
    const keyAt = key + WORD;
    const valueAt = value + WORD;
    if (keyLength < 0 || keyAt + keyLength > this.end) return;
    if (valueLength < 0 || valueAt + valueLength > this.end) return;
    for (let slot = 0; slot < names.length; slot++) {
      const name = names[slot];
      if (name.length !== keyLength || slot === this.tagSlot || slot === this.keySlot) continue;
      let i = 0;
      while (i < keyLength && bytes[keyAt + i] === name[i]) i++;
      if (i < keyLength) continue;
      this.starts[slot] = valueAt;
      this.ends[slot] = valueAt + valueLength;
      return;
    }
  }

  /** Byte of a table's field; negative if it is not there. */
  private field(table: number, field: number): number {
    if (table < 0) return ABSENT;
    const vtable = table - this.int32(table);
    if (vtable < this.start || vtable + FIRST_FIELD > this.end) return ABSENT;
    const { bytes } = this;
    const vtableLength = bytes[vtable] | (bytes[vtable + 1] << 8);
    if (field + 2 > vtableLength || vtable + field + 2 > this.end) return ABSENT;
    const offset = bytes[vtable + field] | (bytes[vtable + field + 1] << 8);
    return offset === 0 ? ABSENT : table + offset;
  }

  /** What a relative offset points at; negative if that is outside. */
  private follow(at: number): number {
    if (at < 0) return ABSENT;
    const offset = this.int32(at);
    return offset <= 0 || at + offset + WORD > this.end ? ABSENT : at + offset;
  }

  /** Lengths and offsets above 2^31 are lies anyway. Negative outside of the properties. */
  private int32(at: number): number {
    const { bytes } = this;
    if (at + WORD > this.end) return ABSENT;
    return bytes[at] | (bytes[at + 1] << 8) | (bytes[at + 2] << 16) | (bytes[at + 3] << 24);
  }
}

/** The number that a text is in decimal notation; NaN if it is none. */
export function numberOf(text: string): number {
  if (!NUMBER.test(text)) return Number.NaN;
  const value = Number(text);
  return Number.isFinite(value) ? value : Number.NaN;
}

/** Of every beginning of a text: the length of its longest end that it begins with as well. For contains(). */
export function bordersOf(text: Uint8Array): Int32Array {
  const borders = new Int32Array(text.length);
  for (let i = 1, length = 0; i < text.length; i++) {
    while (length > 0 && text[length] !== text[i]) length = borders[length - 1];
    if (text[length] === text[i]) length++;
    borders[i] = length;
  }
  return borders;
}
