// Times and sizes as people write them on a command line.
import { InvalidArgumentError } from 'commander';

const UNIT_MS = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000, w: 604_800_000 } as const;
const UNIT_BYTES = { k: 1024, m: 1024 ** 2, g: 1024 ** 3, t: 1024 ** 4 } as const;
const MOMENT_HELP = 'A time is needed, like 2026-11-23T04:00:00Z, 1795406400000 (ms since 1970) or -1h (an hour ago).';

/** A length of time: 90s, 30m, 72h, 7d, 2w, 500ms. In milliseconds. */
export function duration(text: string): number {
  const [, digits, unit] = /^(\d{1,9}(?:\.\d{1,3})?)(ms|s|m|h|d|w)$/.exec(text) ?? [];
  if (digits === undefined) {
    throw new InvalidArgumentError('A length of time is needed, like 90s, 30m, 72h or 7d.');
  }
  return Math.round(Number(digits) * UNIT_MS[unit as keyof typeof UNIT_MS]);
}

/** A moment: ISO 8601, milliseconds since 1970, or `-1h` for an hour ago. In milliseconds since 1970. */
export function moment(text: string, now = Date.now()): number {
  if (/^-\d/.test(text)) return now - ago(text.slice(1));
  if (/^\d{5,15}$/.test(text)) return Number(text);
  const parsed = /^\d{4}-\d\d/.test(text) ? Date.parse(text) : Number.NaN;
  if (!(parsed >= 0)) throw new InvalidArgumentError(MOMENT_HELP);
  return parsed;
}

function ago(text: string): number {
  try {
    return duration(text);
  } catch {
    throw new InvalidArgumentError(MOMENT_HELP);
  }
}

/** A number of bytes: 4194304, 512k, 4m, 10g; a B or iB behind the unit is fine. A unit is 1,024 of the one before. */
export function byteCount(text: string): number {
  const [, digits, unit] = /^(\d{1,12})(k|m|g|t|)(?:i?b)?$/i.exec(text) ?? [];
  const factor = unit ? UNIT_BYTES[unit.toLowerCase() as keyof typeof UNIT_BYTES] : 1;
  const bytes = digits === undefined ? Number.NaN : Number(digits) * factor;
  if (Number.isSafeInteger(bytes)) return bytes;
  throw new InvalidArgumentError('A number of bytes is needed, like 1048576, 512k, 4m or 10g.');
}

/** `72 h`, `30 min`, `2 d`: the largest unit that fits without a rest. */
export function durationText(ms: number): string {
  const { d, h, m, s } = UNIT_MS;
  if (ms > 2 * d && ms % d === 0) return `${ms / d} days`;
  if (ms >= h && ms % h === 0) return `${ms / h} h`;
  if (ms >= m && ms % m === 0) return `${ms / m} min`;
  return ms >= s && ms % s === 0 ? `${ms / s} s` : `${ms} ms`;
}

/** 2026-11-23 04:05:06.789 in UTC, with a Z: sorts, and can be read back. */
export function momentText(ms: number): string {
  return new Date(ms).toISOString();
}
