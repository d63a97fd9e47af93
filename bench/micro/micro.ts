// Costs of the parts, one thread, nanoseconds a step (tinybench). Names mirror the sources.
import { Bench as Tinybench } from 'tinybench';
import { LANE_CONTROL_BYTES } from '../../native-layout/lane.ts';
import { LaneReader, LaneWriter, NONE } from '../../src/memory/lane.ts';
import { BatchBuilder } from '../../src/record/batch-builder.ts';
import { BatchView, RecordView } from '../../src/record/batch-view.ts';
import { crc32, portableCrc32 } from '../../src/record/crc.ts';
import { validateBatch } from '../../src/record/validate.ts';
import { type Bench, type Measured, type Scale, TINY } from '../support/bench.ts';

const RECORDS = 512;

interface Part {
  readonly name: string;
  readonly what: string;
  /** Messages that one call of `step` handles. */
  readonly messages: number;
  make(bodyBytes: number): () => void;
}

function filled(bodyBytes: number, checksum: boolean): BatchBuilder {
  const builder = new BatchBuilder(RECORDS * (bodyBytes + 32) + 64);
  const body = new Uint8Array(bodyBytes);
  for (let i = 0; i < RECORDS; i++) builder.tryAddBody(body, 0);
  builder.close({
    partition: 0,
    epoch: 1,
    request: 1,
    ack: 1,
    requestFlags: 0,
    producerId: 1,
    baseSequence: 0,
    checksum,
  });
  return builder;
}

const PARTS: readonly Part[] = [
  {
    name: 'micro-batch-builder',
    what: 'fill a batch, a record a step',
    messages: RECORDS,
    make: (bodyBytes) => {
      const builder = new BatchBuilder(RECORDS * (bodyBytes + 32) + 64);
      const body = new Uint8Array(bodyBytes);
      return () => {
        builder.reset();
        for (let i = 0; i < RECORDS; i++) builder.tryAddBody(body, 0);
      };
    },
  },
  {
    name: 'micro-batch-view',
    what: 'step over the records of a batch',
    messages: RECORDS,
    make: (bodyBytes) => {
      const builder = filled(bodyBytes, false);
      const view = new BatchView();
      const record = new RecordView();
      let sum = 0;
      return () => {
        view.span(builder.bytes, builder.words, 0, builder.length);
        while (view.next()) for (record.open(view); record.next(); ) sum += record.int32(0);
        return sum;
      };
    },
  },
  {
    name: 'micro-validate',
    what: 'check a batch from outside, CRC included',
    messages: RECORDS,
    make: (bodyBytes) => {
      const builder = filled(bodyBytes, true);
      return () => validateBatch(builder.bytes, builder.words, 0, builder.length);
    },
  },
  {
    name: 'micro-crc',
    what: 'CRC-32 of a batch, native where there is one',
    messages: RECORDS,
    make: (bodyBytes) => {
      const { bytes } = filled(bodyBytes, false);
      return () => crc32(bytes);
    },
  },
  {
    name: 'micro-crc-portable',
    what: 'CRC-32 of a batch in plain JavaScript (browsers)',
    messages: RECORDS,
    make: (bodyBytes) => {
      const { bytes } = filled(bodyBytes, false);
      return () => portableCrc32(bytes);
    },
  },
  {
    name: 'micro-lane',
    what: 'a batch through a lane, writer and reader in one thread',
    messages: RECORDS,
    make: (bodyBytes) => {
      const builder = filled(bodyBytes, false);
      const capacity = 1 << 20;
      const buffer = new SharedArrayBuffer(LANE_CONTROL_BYTES + capacity);
      const [words, bytes] = [new Int32Array(buffer), new Uint8Array(buffer)];
      const writer = new LaneWriter(words, bytes, { byte: 0, capacity });
      const reader = new LaneReader(words, bytes, { byte: 0, capacity });
      const batch = builder.bytes.subarray(0, builder.length);
      return () => {
        bytes.set(batch, writer.tryClaim(batch.length));
        writer.commit(batch.length);
        writer.publish();
        if (reader.look() !== NONE) reader.consume();
        reader.release();
      };
    },
  },
];

async function measure(part: Part, scale: Scale): Promise<Measured> {
  const tinybench = new Tinybench({ time: scale === TINY ? 10 : 250, warmupTime: scale === TINY ? 1 : 100 });
  tinybench.add(part.name, part.make(scale.bodyBytes));
  await tinybench.run();
  const [task] = tinybench.tasks;
  const result = task.result as unknown as { throughput?: { mean: number } };
  const steps = result.throughput?.mean ?? 0;
  return {
    messagesPerSecond: steps * part.messages,
    notes: { nanosecondsPerMessage: round(1e9 / (steps * part.messages)) },
  };
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}

export const microBenches: readonly Bench[] = PARTS.map((part) => ({
  name: part.name,
  what: part.what,
  peers: [],
  measure: (scale) => measure(part, scale),
}));
