// User properties of a message: a FlatBuffers table behind the record's tag, so that any language reads it.
import * as flatbuffers from 'flatbuffers';
import { Properties } from '../../native-layout/generated/ringmq/properties.ts';
import { Property } from '../../native-layout/generated/ringmq/property.ts';
import { PROPERTIES_LENGTH_MAX } from '../../native-layout/record.ts';
import { RingmqError } from '../base/codes.ts';

/** Names and values, both text. */
export type MessageProperties = Readonly<Record<string, string>>;

const builder = new flatbuffers.Builder(256);

/** Bytes of the properties; at most 32,767. */
export function encodeProperties(properties: MessageProperties): Uint8Array {
  builder.clear();
  const entries = Object.entries(properties).map(([key, value]) => {
    const keyAt = builder.createString(key);
    const valueAt = builder.createString(String(value));
    return Property.createProperty(builder, keyAt, valueAt);
  });
  const vector = Properties.createEntriesVector(builder, entries);
  builder.finish(Properties.createProperties(builder, vector));
  const bytes = builder.asUint8Array().slice();
  if (bytes.length > PROPERTIES_LENGTH_MAX) throw new RingmqError('properties-too-large');
  return bytes;
}

/**
 * The properties as an object without a prototype. Bytes come from other programs: what cannot be read is left out, and
 * nothing is read beyond the given bytes.
 */
export function decodeProperties(bytes: Uint8Array): MessageProperties {
  const result: Record<string, string> = Object.create(null);
  try {
    const table = Properties.getRootAsProperties(new flatbuffers.ByteBuffer(bytes.slice()));
    // Every entry takes at least an offset of 4 bytes: a larger count is a lie.
    const count = Math.min(table.entriesLength(), bytes.length >> 2);
    for (let i = 0; i < count; i++) {
      const entry = table.entries(i);
      const key = entry?.key();
      const value = entry?.value();
      if (typeof key === 'string' && typeof value === 'string') result[key] = value;
    }
  } catch {
    // A producer's broken properties are not the consumer's failure.
  }
  return result;
}
