// UTF-8 in and out of buffers that may be shared: browsers refuse to decode views of shared memory; they are copied.

const encoder = new TextEncoder();
// A byte order mark in front is part of the text.
const decoder = new TextDecoder('utf-8', { fatal: false, ignoreBOM: true });
const SHORT_ASCII = 24;

/** UTF-8 bytes of a string. */
export function utf8(text: string): Uint8Array {
  return encoder.encode(text);
}

/** Writes UTF-8 into `target` and returns the bytes written, or -1 if it does not fit. */
export function putUtf8(text: string, target: Uint8Array): number {
  const { read, written } = encoder.encodeInto(text, target);
  return read === text.length ? written : -1;
}

/** Text of UTF-8 bytes; wrong bytes become U+FFFD. */
export function fromUtf8(bytes: Uint8Array, start = 0, end = bytes.length): string {
  if (end - start <= SHORT_ASCII) {
    const short = shortAscii(bytes, start, end);
    if (short !== undefined) return short;
  }
  const view = bytes.subarray(start, end);
  return decoder.decode(view.buffer instanceof ArrayBuffer ? view : view.slice());
}

/** Short ASCII strings (keys, tags) are built faster by hand than by the decoder. */
function shortAscii(bytes: Uint8Array, start: number, end: number): string | undefined {
  let text = '';
  for (let i = start; i < end; i++) {
    const byte = bytes[i];
    if (byte > 127) return undefined;
    text += String.fromCharCode(byte);
  }
  return text;
}

/** 32-bit FNV-1a over the UTF-8 bytes: tag hashes and key -> partition. The same on every client. */
export function hash32(text: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code > 127) {
      const bytes = utf8(text);
      return hashUtf8(bytes, 0, bytes.length);
    }
    hash = Math.imul(hash ^ code, 0x01000193);
  }
  return hash | 0;
}

/** The same for text that is UTF-8 already. HOT */
export function hashUtf8(bytes: Uint8Array, start: number, end: number): number {
  let hash = 0x811c9dc5;
  for (let i = start; i < end; i++) hash = Math.imul(hash ^ bytes[i], 0x01000193);
  return hash | 0;
}
