// One message as a JSON line, for scripts.
import { RECORD_PRIORITY_SHIFT } from '../../native-layout/record.ts';
import type { MessageProperties } from '../record/properties.ts';
import { utf8 } from '../record/text.ts';

const text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** What a line says: a message, or the current record of a batch. */
interface Shown {
  readonly topic: string;
  readonly partition: number;
  readonly offset: number;
  readonly bornAt: number;
  readonly storedAt: number;
  readonly key: string | undefined;
  readonly tag: string | undefined;
  readonly properties: MessageProperties | undefined;
  readonly body: Uint8Array;
  /** Bits of the record's flags byte. */
  readonly flags: number;
  /** Of messages that were asked for one by one. */
  readonly id?: string;
  readonly producerId?: number;
  /** Deliveries to the group that asked, this one included. */
  readonly attempts?: number;
}

/**
 * A message: topic, partition, offset, times, attempts, priority, key, tag, properties where it has them, and its
 * body as `body` where it is UTF-8, else as `bodyBase64`.
 */
export function jsonLine(shown: Shown): Uint8Array {
  const { id, topic, partition, offset, bornAt, storedAt, producerId, key, tag, properties } = shown;
  const attempts = shown.attempts === 1 ? undefined : shown.attempts;
  const priority = shown.flags >>> RECORD_PRIORITY_SHIFT || undefined;
  const head = { id, topic, partition, offset, bornAt, storedAt, producerId, attempts, priority, key, tag, properties };
  return utf8(JSON.stringify({ ...head, ...bodyOf(shown.body) }));
}

function bodyOf(bytes: Uint8Array): { body: string } | { bodyBase64: string } {
  try {
    return { body: text.decode(bytes) };
  } catch {
    return { bodyBase64: Buffer.from(bytes).toString('base64') };
  }
}
