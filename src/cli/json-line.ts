// One message as a JSON line, for scripts.
import type { Batch } from '../client/message.ts';
import { utf8 } from '../record/text.ts';

const text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/**
 * The current record of a batch: topic, partition, offset, times, key, tag, properties where it has them, and its
 * body as `body` where it is UTF-8, else as `bodyBase64`.
 */
export function jsonLine(batch: Batch): Uint8Array {
  const { topic, partition, offset, bornAt, storedAt, key, tag, properties } = batch;
  return utf8(
    JSON.stringify({ topic, partition, offset, bornAt, storedAt, key, tag, properties, ...bodyOf(batch.body) }),
  );
}

function bodyOf(bytes: Uint8Array): { body: string } | { bodyBase64: string } {
  try {
    return { body: text.decode(bytes) };
  } catch {
    return { bodyBase64: Buffer.from(bytes).toString('base64') };
  }
}
