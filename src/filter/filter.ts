// Which messages a subscription wants. The canonical text travels: a tag expression as it is, SQL behind `sql:`, and ''
// for everything.
import { RingmqError } from '../base/codes.ts';
import type { RecordView } from '../record/batch-view.ts';
import { parseSql } from './sql-parser.ts';
import { parseTags, TagFilter } from './tags.ts';

const SQL_PREFIX = 'sql:';

/** As applications write it. */
export type FilterOption = string | { readonly sql: string };

/** Looks at records where they lie. Keeps notes while it does: one for each thread. */
export interface RecordFilter {
  /** HOT */
  matches(record: RecordView): boolean;
}

/**
 * The canonical text of a filter; tag expressions that differ in spaces only have the same. A string that begins with
 * `sql:` is SQL too. Throws `illegal-filter`.
 */
export function filterText(filter: FilterOption | undefined): string {
  if (filter === undefined) return '';
  // From JavaScript anything may come.
  if (typeof (typeof filter === 'object' ? filter?.sql : filter) !== 'string') {
    throw new RingmqError('illegal-filter', "a filter is a text of tags, 'A || B', or { sql: 'price > 10' }");
  }
  const text = typeof filter === 'object' ? `${SQL_PREFIX}${filter.sql}` : filter.trimStart();
  if (!text.startsWith(SQL_PREFIX)) return parseTags(filter as string).join(' || ');
  parseSql(text.slice(SQL_PREFIX.length));
  return text;
}

/**
 * The filter of a canonical text; undefined where it lets everything pass. Throws `illegal-filter`, which says in which
 * column (of the SQL, without its prefix) something is wrong, what, and what was expected.
 */
export function compileFilter(text: string): RecordFilter | undefined {
  if (text.startsWith(SQL_PREFIX)) return parseSql(text.slice(SQL_PREFIX.length));
  const tags = parseTags(text);
  return tags.length === 0 ? undefined : new TagFilter(tags);
}
