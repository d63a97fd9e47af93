// Figures as people read them. English grouping everywhere: the page's texts are English too.

const GROUPED = new Intl.NumberFormat('en', { maximumFractionDigits: 0 });
const COMPACT = new Intl.NumberFormat('en', { notation: 'compact', maximumSignificantDigits: 3 });
const BYTE_UNITS = ['B', 'kB', 'MB', 'GB', 'TB', 'PB'];
const BINARY_UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'];

/** What stands where there is no figure. */
export const NO_FIGURE = '–';

/** 1,234,567 */
export function count(value: number): string {
  return GROUPED.format(value);
}

/** 1.23 M: for axes, where room is scarce. */
export function compact(value: number): string {
  return COMPACT.format(value)
    .replace(/K$/, ' k')
    .replace(/([MBT])$/, ' $1');
}

/** `5.00 MB` without what says nothing: 5 MB. For axes. */
export function withoutZeros(text: string): string {
  return text.replace(/(\.\d*?)0+(?=\s|$)/, '$1').replace(/\.(?=\s|$)/, '');
}

/** 12.3 MB, in powers of 1,000: rates and traffic. */
export function bytes(value: number): string {
  return scaled(value, 1000, BYTE_UNITS);
}

/** 12.3 MiB, in powers of 1,024: memory. */
export function binaryBytes(value: number): string {
  return scaled(value, 1024, BINARY_UNITS);
}

export function percent(value: number): string {
  return `${value < 9.95 && value > 0 ? value.toFixed(1) : Math.round(value)} %`;
}

/** 850 ms, 12.3 s, 4 min 5 s, 3 h 20 min, 12 d 4 h */
export function duration(ms: number): string {
  if (ms < 1000) return `${Math.round(ms)} ms`;
  const seconds = ms / 1000;
  if (seconds < 60) return `${seconds < 10 ? seconds.toFixed(1) : Math.floor(seconds)} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min ${Math.floor(seconds % 60)} s`;
  const hours = Math.floor(minutes / 60);
  return hours < 24 ? `${hours} h ${minutes % 60} min` : `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

/** 14:03:07, local time */
export function clock(ms: number): string {
  const date = new Date(ms);
  return [date.getHours(), date.getMinutes(), date.getSeconds()].map(twoDigits).join(':');
}

/** 14:03:07.042, local time */
export function preciseClock(ms: number): string {
  return `${clock(ms)}.${String(ms % 1000).padStart(3, '0')}`;
}

/** 1 message, 2 messages */
export function plural(value: number, noun: string): string {
  return `${count(value)} ${noun}${value === 1 ? '' : 's'}`;
}

function twoDigits(value: number): string {
  return String(value).padStart(2, '0');
}

function scaled(value: number, base: number, units: readonly string[]): string {
  let scale = 0;
  let rest = Math.abs(value);
  // 999.5 would be rounded to four digits.
  while (rest >= base - 0.5 && scale < units.length - 1) {
    rest /= base;
    scale++;
  }
  const digits = scale === 0 || rest >= 100 ? 0 : rest >= 10 ? 1 : 2;
  return `${value < 0 ? '-' : ''}${rest.toFixed(digits)} ${units[scale]}`;
}
