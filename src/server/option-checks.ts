// How an option that makes no sense is refused: its name, what it is, and what it may be.
import { RingmqError } from '../base/codes.ts';

/** Throws `illegal-argument` unless the value is a whole number in the range. */
export function whole(name: string, value: number, least: number, most: number): void {
  if (Number.isInteger(value) && value >= least && value <= most) return;
  refuse(`${name} is ${value}: a whole number from ${least} to ${most}`);
}

/** Throws `illegal-argument` unless the value is a power of two in the range. */
export function powerOfTwo(name: string, value: number, least: number, most: number): void {
  whole(name, value, least, most);
  if ((value & (value - 1)) !== 0) refuse(`${name} is ${value}: a power of two`);
}

/** Throws `illegal-argument` unless the value is a whole number in the range and a multiple of `unit`. */
export function multipleOf(name: string, value: number, unit: number, least: number, most: number): void {
  whole(name, value, least, most);
  if (value % unit !== 0) refuse(`${name} is ${value}: a multiple of ${unit}`);
}

export function oneOf(name: string, value: string, allowed: readonly string[]): void {
  if (!allowed.includes(value)) refuse(`${name} is '${value}': one of ${allowed.join(', ')}`);
}

export function yesOrNo(name: string, value: boolean): void {
  if (typeof value !== 'boolean') refuse(`${name} is '${value}': true or false`);
}

/** Throws `illegal-argument` for a name that is not known: a misspelt option would be silently without effect. */
export function rejectUnknown(options: object, known: readonly string[], what: string): void {
  for (const name of Object.keys(options)) {
    if (!known.includes(name)) refuse(`unknown ${what} '${name}'; known are ${known.join(', ')}`);
  }
}

export function refuse(text: string): never {
  throw new RingmqError('illegal-argument', text);
}
