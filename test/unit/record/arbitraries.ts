// Random messages, and batches made of them.
import fc from 'fast-check';
import { BatchBuilder, type RecordExtras } from '../../../src/record/batch-builder.ts';

export interface Sample {
  readonly body: Uint8Array | string;
  readonly extras: RecordExtras | undefined;
}

const text = (maxLength: number): fc.Arbitrary<string> => fc.string({ unit: 'binary', maxLength });

const extras = fc.record(
  {
    key: text(100),
    tag: fc.string({ unit: 'grapheme', minLength: 1, maxLength: 20 }).filter((tag) => !tag.includes('|')),
    properties: fc.dictionary(text(10), text(30), { maxKeys: 4 }),
    flags: fc.integer({ min: 0, max: 255 }),
  },
  { requiredKeys: [] },
);

export const sample: fc.Arbitrary<Sample> = fc.record({
  body: fc.oneof(fc.uint8Array({ maxLength: 200 }), text(100)),
  extras: fc.option(extras, { nil: undefined }),
});

export const samples = fc.array(sample, { minLength: 1, maxLength: 12 });

export const STAMP = {
  partition: 3,
  epoch: 4,
  request: 5,
  ack: 1,
  requestFlags: 0,
  producerId: 2 ** 52 + 1,
  baseSequence: -7,
  checksum: true,
} as const;

export function add(builder: BatchBuilder, { body, extras: more }: Sample): boolean {
  if (more) return builder.tryAdd(typeof body === 'string' ? new TextEncoder().encode(body) : body, more, 1_000);
  return typeof body === 'string' ? builder.tryAddText(body, 1_000) : builder.tryAddBody(body, 1_000);
}

/** A closed batch of all the samples, with a checksum, in memory that was not zero before. */
export function build(messages: readonly Sample[], checksum = true): BatchBuilder {
  const builder = new BatchBuilder(64 * 1024);
  builder.bytes.fill(0xa5);
  for (const message of messages) if (!add(builder, message)) throw new Error('the batch is full');
  builder.close({ ...STAMP, checksum });
  return builder;
}
