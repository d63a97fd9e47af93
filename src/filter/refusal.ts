// What is wrong with a filter, and where.
import { RingmqError } from '../base/codes.ts';

/** Longest tag expression or SQL text, in characters. */
export const FILTER_TEXT_MAX = 4_096;

/** `column` counts characters from 1. */
export function illegalFilter(column: number, what: string): RingmqError {
  return new RingmqError('illegal-filter', `filter, column ${column}: ${what}`);
}

/** Throws for a text that is not even looked at. */
export function checkLength(text: string): void {
  if (text.length <= FILTER_TEXT_MAX) return;
  throw illegalFilter(FILTER_TEXT_MAX + 1, `it has ${text.length} characters, at most ${FILTER_TEXT_MAX} are read`);
}
