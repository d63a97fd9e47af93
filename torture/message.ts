// What is sent: bodies that say who they are and can be told from any other bytes, made again from their names alone.
//
//   0 magic | 4 producer | 8 sequence | 12 check over the rest | 16 bytes of a generator
import { crc32 } from 'node:zlib';

const MAGIC = 0x7254_7147;
const HEADER_BYTES = 16;
const TAIL_MAX_BYTES = 600;
const LONG_TAIL_BYTES = 20_000;

/** Names one message for ever: producers are never numbered again, sequences count from 0. */
export interface MessageName {
  readonly producer: number;
  readonly sequence: number;
}

/** The body of a message. */
export function bodyOf(producer: number, sequence: number): Uint8Array {
  const random = generator(producer, sequence);
  const length = random() % 200 === 0 ? random() % LONG_TAIL_BYTES : random() % TAIL_MAX_BYTES;
  const body = Buffer.alloc(HEADER_BYTES + length);
  for (let at = HEADER_BYTES; at < body.length; at++) body[at] = random();
  body.writeUInt32LE(MAGIC, 0);
  body.writeUInt32LE(producer, 4);
  body.writeUInt32LE(sequence, 8);
  body.writeUInt32LE(crc32(body.subarray(HEADER_BYTES)), 12);
  return body;
}

/** Whose body this is; undefined if it is not exactly what bodyOf() makes. */
export function nameOf(body: Uint8Array): MessageName | undefined {
  const bytes = Buffer.from(body.buffer, body.byteOffset, body.byteLength);
  if (bytes.length < HEADER_BYTES || bytes.readUInt32LE(0) !== MAGIC) return undefined;
  const producer = bytes.readUInt32LE(4);
  const sequence = bytes.readUInt32LE(8);
  return bytes.equals(bodyOf(producer, sequence)) ? { producer, sequence } : undefined;
}

/** xorshift32: cheap, and different for every name. */
function generator(producer: number, sequence: number): () => number {
  let state = (Math.imul(producer + 1, 0x9e37_79b1) ^ Math.imul(sequence + 1, 0x85eb_ca6b)) | 1;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return state >>> 0;
  };
}
