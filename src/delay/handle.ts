// The handle of a scheduled message, for recall(): opaque to who holds it. It says which store of timers made it, when
// the message is due and where it stands in the timer topic, and has a check, so that a mistyped one is told from an
// old one.
import { RingmqError } from '../base/codes.ts';
import { hash32 } from '../record/text.ts';

/** What a handle says. */
export interface TimerHandle {
  /** Of the store of timers: a broker that keeps nothing has another one after each start. */
  readonly store: string;
  readonly deliverAt: number;
  /** In the timer topic. */
  readonly offset: number;
}

const PATTERN = /^T1-([0-9a-z]{1,16})-([0-9a-z]{1,11})-([0-9a-z]{1,11})-([0-9a-z]{1,7})$/;
const RADIX = 36;

/** The text that is given out. */
export function encodeHandle(store: string, deliverAt: number, offset: number): string {
  const body = `T1-${store}-${deliverAt.toString(RADIX)}-${offset.toString(RADIX)}`;
  return `${body}-${checkOf(body)}`;
}

/** Throws `illegal-argument` for a text that is no handle. */
export function parseHandle(text: string): TimerHandle {
  const match = PATTERN.exec(text);
  if (match) {
    const [, store, time, place, check] = match;
    const deliverAt = Number.parseInt(time, RADIX);
    const offset = Number.parseInt(place, RADIX);
    const whole = Number.isSafeInteger(deliverAt) && Number.isSafeInteger(offset);
    if (whole && check === checkOf(text.slice(0, text.lastIndexOf('-')))) return { store, deliverAt, offset };
  }
  const shown = text.length > 80 ? `${text.slice(0, 80)}…` : text;
  throw new RingmqError(
    'illegal-argument',
    `'${shown}' is no handle of a scheduled message: pass the text of the receipt`,
  );
}

function checkOf(body: string): string {
  return (hash32(body) >>> 0).toString(RADIX);
}
