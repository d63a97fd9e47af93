// How a body is shown: JSON printed over several lines, text as it is, anything else as bytes in hex.
import { bytes as byteText } from './format.ts';

export interface BodyPreview {
  readonly kind: 'json' | 'text' | 'binary' | 'empty';
  /** One line for the list. */
  readonly line: string;
}

/** What a list keeps of a body. */
export const KEPT_BYTES_MAX = 64 * 1024;
const LINE_LENGTH_MAX = 240;
const HEX_BYTES_MAX = 2 * 1024;
const HEX_LINE_BYTES = 16;
const HEX_PREVIEW_BYTES = 24;

/** Characters that no text has: controls besides tab and line ends. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for.
const CONTROL = /[\u0000-\u0008\u000b\u000c\u000e-\u001f]/;

/** `kept` are the first bytes of a body of `lengthBytes`. */
export function previewBody(kept: Uint8Array, lengthBytes: number): BodyPreview {
  if (lengthBytes === 0) return { kind: 'empty', line: '(empty)' };
  const text = textOf(kept, lengthBytes);
  if (text === undefined) return { kind: 'binary', line: hex(kept.subarray(0, HEX_PREVIEW_BYTES)) };
  const line = text.slice(0, LINE_LENGTH_MAX).replace(/\s+/g, ' ').trim();
  return { kind: jsonOf(text) === undefined ? 'text' : 'json', line };
}

/** The whole of what was kept, and a note if that is not all. */
export function printBody(kept: Uint8Array, lengthBytes: number): string {
  const text = textOf(kept, lengthBytes);
  const shownBytes = text === undefined ? Math.min(kept.length, HEX_BYTES_MAX) : kept.length;
  const value = text === undefined ? undefined : jsonOf(text);
  const print = value === undefined ? (text ?? hexDump(kept.subarray(0, shownBytes))) : JSON.stringify(value, null, 2);
  if (shownBytes === lengthBytes) return print;
  return `${print}\n… the first ${byteText(shownBytes)} of ${byteText(lengthBytes)}`;
}

/** Text if the bytes are readable UTF-8; a character that was cut off at the end does not matter. */
function textOf(kept: Uint8Array, lengthBytes: number): string | undefined {
  try {
    const text = new TextDecoder('utf-8', { fatal: true }).decode(kept, { stream: kept.length < lengthBytes });
    return CONTROL.test(text) ? undefined : text;
  } catch {
    return undefined;
  }
}

/** Only objects and arrays gain by being printed as JSON; and integers beyond 2^53 would come out changed. */
function jsonOf(text: string): object | undefined {
  if (!/^\s*[[{]/.test(text) || /\d{16}/.test(text)) return undefined;
  try {
    return JSON.parse(text) as object;
  } catch {
    return undefined;
  }
}

function hex(part: Uint8Array): string {
  return Array.from(part, (byte) => byte.toString(16).padStart(2, '0')).join(' ');
}

function hexDump(part: Uint8Array): string {
  const lines: string[] = [];
  for (let at = 0; at < part.length; at += HEX_LINE_BYTES) {
    const row = part.subarray(at, at + HEX_LINE_BYTES);
    const ascii = Array.from(row, (byte) => (byte >= 32 && byte < 127 ? String.fromCharCode(byte) : '.')).join('');
    lines.push(`${at.toString(16).padStart(6, '0')}  ${hex(row).padEnd(HEX_LINE_BYTES * 3 - 1)}  ${ascii}`);
  }
  return lines.join('\n');
}
