// Tag expressions, `A || B`: RocketMQ's. The record's tag hash decides nearly always; the bytes of the tag are looked
// at only when it is that of a wanted tag, because two tags may share a hash.
import { TAG_LENGTH_MAX } from '../../native-layout/record.ts';
import type { RecordView } from '../record/batch-view.ts';
import { hashUtf8, utf8 } from '../record/text.ts';
import { checkLength, illegalFilter } from './refusal.ts';

const EMPTY = -1;

/** The tags of an expression in its order, each once; none means every message. Throws `illegal-filter`. */
export function parseTags(expression: string): readonly string[] {
  checkLength(expression);
  if (expression.trim() === '*' || expression.trim() === '') return [];
  const tags = new Set<string>();
  let at = 0;
  for (const part of expression.split('||')) {
    const tag = part.trim();
    checkTag(tag, at + part.length - part.trimStart().length + 1, part);
    tags.add(tag);
    at += part.length + 2;
  }
  return [...tags];
}

function checkTag(tag: string, column: number, part: string): void {
  if (tag === '') throw illegalFilter(column - part.length, 'a tag is missing; expected `A`, `A || B` or `*`');
  if (tag === '*') throw illegalFilter(column, '`*` means every message and stands alone');
  const bar = tag.indexOf('|');
  if (bar >= 0) throw illegalFilter(column + bar, 'found `|`: tags are separated by `||` and contain none');
  const length = utf8(tag).length;
  if (length > TAG_LENGTH_MAX) {
    throw illegalFilter(column, `a tag of ${length} bytes; tags have at most ${TAG_LENGTH_MAX}`);
  }
}

/** The tags that a subscription wants, found by their hash: as fast for a thousand of them as for one. */
export class TagFilter {
  private readonly tags: readonly Uint8Array[];
  /** Open addressing: number of the tag, or EMPTY. */
  private readonly table: Int32Array;
  private readonly hashes: Int32Array;
  private readonly mask: number;

  constructor(tags: readonly string[]) {
    this.tags = tags.map(utf8);
    this.hashes = Int32Array.from(this.tags, (tag) => hashUtf8(tag, 0, tag.length));
    const size = 2 ** (32 - Math.clz32(tags.length * 2));
    this.mask = size - 1;
    this.table = new Int32Array(size).fill(EMPTY);
    this.tags.forEach((_, number) => {
      let at = this.hashes[number] & this.mask;
      while (this.table[at] !== EMPTY) at = (at + 1) & this.mask;
      this.table[at] = number;
    });
  }

  /** HOT */
  matches(record: RecordView): boolean {
    const { table, hashes, mask } = this;
    const hash = record.tagHash;
    for (let at = hash & mask; table[at] !== EMPTY; at = (at + 1) & mask) {
      if (hashes[table[at]] === hash && this.isTag(record, table[at])) return true;
    }
    return false;
  }

  private isTag(record: RecordView, number: number): boolean {
    const tag = this.tags[number];
    if (record.tagLength !== tag.length) return false;
    const { bytes, tagAt } = record;
    for (let i = 0; i < tag.length; i++) if (bytes[tagAt + i] !== tag[i]) return false;
    return true;
  }
}
