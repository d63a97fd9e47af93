// How values become bytes and bytes become values.
import { fromUtf8, utf8 } from '../record/text.ts';

/** Turns values of one kind into bytes and back. */
export interface Codec<T> {
  /** The bytes of a value. They are copied before the call returns. */
  encode(value: T): Uint8Array | string;
  /** The value of owned bytes. */
  decode(bytes: Uint8Array): T;
}

/** Bytes as they are; strings as UTF-8 on the way in. */
export const bytesCodec: Codec<Uint8Array | string> = {
  encode: (value) => value,
  decode: (bytes) => bytes,
};

/** UTF-8 text. */
export const textCodec: Codec<string> = {
  encode: (value) => value,
  decode: (bytes) => fromUtf8(bytes),
};

/** JSON. `undefined` and functions cannot be sent. */
export function jsonCodec<T>(): Codec<T> {
  return {
    encode: (value) => utf8(JSON.stringify(value)),
    decode: (bytes) => JSON.parse(fromUtf8(bytes)) as T,
  };
}
