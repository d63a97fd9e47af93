// Text and base64 with what browsers have too. Buffers may be shared memory, in which browsers decode
// nothing: copied.

/** Bit 1 of a record's flags byte: the body is JSON text, to be delivered as the value that it stands for. */
export const RECORD_FLAG_JSON = 2;

const encoder = new TextEncoder();
const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** Characters per call of fromCharCode: the argument list must fit the stack. */
const CHUNK = 8192;

/** Text of UTF-8 bytes; undefined if they are not UTF-8. */
export function tryText(bytes: Uint8Array): string | undefined {
  try {
    return decoder.decode(bytes.buffer instanceof ArrayBuffer ? bytes : new Uint8Array(bytes));
  } catch {
    return undefined;
  }
}

/** UTF-8 of well-formed text. */
export function textBytes(text: string): Uint8Array {
  return encoder.encode(text);
}

/** Standard base64 with padding. */
export function toBase64(bytes: Uint8Array): string {
  let binary = '';
  for (let i = 0; i < bytes.length; i += CHUNK) {
    binary += String.fromCharCode(...bytes.subarray(i, Math.min(i + CHUNK, bytes.length)));
  }
  return btoa(binary);
}

/** Bytes of standard base64 with padding; undefined if the text is anything else. */
export function tryBase64(text: string): Uint8Array | undefined {
  // atob() itself would skip spaces and do without padding.
  if (text.length % 4 !== 0 || /\s/.test(text)) return undefined;
  let binary: string;
  try {
    binary = atob(text);
  } catch {
    return undefined;
  }
  const bytes = new Uint8Array(binary.length);
  for (let i = 0; i < bytes.length; i++) bytes[i] = binary.charCodeAt(i);
  return bytes;
}
