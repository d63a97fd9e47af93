// Where a consumer may be asked to start.
import { RingmqError } from '../base/codes.ts';
import type { StartFrom } from '../wire/commands.ts';

/** Throws `illegal-argument`. */
export function checkFrom(from: StartFrom | undefined): void {
  if (from === undefined || from === 'latest' || from === 'earliest') return;
  const { offset, last, time, positions }: Partial<Record<'offset' | 'last' | 'time' | 'positions', unknown>> = from;
  const number = offset ?? last ?? time ?? (positions === undefined ? -1 : 0);
  if (!Number.isSafeInteger(number) || (number as number) < 0) {
    const ways = "'latest', 'earliest', { offset }, { last }, { time } or { positions }";
    const text = `from is ${JSON.stringify(from)}: ${ways}`;
    throw new RingmqError('illegal-argument', `${text}, with whole numbers from 0; a time is milliseconds since 1970`);
  }
}
