// Batches and logs for the tests of the log: small, sealed like real ones, and easy to find again.
import { BATCH_BASE_OFFSET, BATCH_EPOCH, BATCH_FLAGS, BATCH_STORED_AT, FLAG_KEYS } from '../../native-layout/batch.ts';
import { LOG_BLOCK_BYTES } from '../../native-layout/log.ts';
import { BlockBuilder } from '../../src/log/block-builder.ts';
import type { Disk } from '../../src/log/disk.ts';
import { alignedBytes } from '../../src/log/disk-node.ts';
import { type LogStart, LogWriter } from '../../src/log/log-writer.ts';
import { runsOf } from '../../src/log/run-rows.ts';
import { segmentBases } from '../../src/log/segment-files.ts';
import { verifySegment } from '../../src/log/segment-verdict.ts';
import { BatchBuilder } from '../../src/record/batch-builder.ts';
import { putInt64 } from '../../src/record/int64.ts';

export const SEGMENT = 64 * 1024;
/** One for all logs of a test file: only the last block that was staged is of interest. */
const MEMORY = alignedBytes(LOG_BLOCK_BYTES);
export const EMPTY_LOG: LogStart = { segments: [], end: 0, previousCrc: 0 };

export interface SampleBatch {
  readonly baseOffset: number;
  readonly count: number;
  readonly bodyBytes?: number;
  readonly storedAt?: number;
  readonly epoch?: number;
  readonly key?: string;
}

/** A stamped batch, as it stands in a ring; its bodies say their offset. */
export function sampleBatch(sample: SampleBatch): Uint8Array<ArrayBuffer> {
  const { baseOffset, count, bodyBytes = 16, storedAt = 1_000 + baseOffset, epoch = 1, key } = sample;
  const builder = new BatchBuilder(1 << 20);
  for (let i = 0; i < count; i++) {
    const body = new Uint8Array(Math.max(8, bodyBytes)).fill((baseOffset + i) & 0xff);
    new DataView(body.buffer).setFloat64(0, baseOffset + i, true);
    builder.tryAdd(body, { key }, storedAt);
  }
  const length = builder.close({
    partition: 0,
    epoch,
    request: 0,
    ack: 0,
    requestFlags: 0,
    producerId: 7,
    baseSequence: baseOffset,
    checksum: true,
  });
  putInt64(builder.words, BATCH_BASE_OFFSET >> 2, baseOffset);
  putInt64(builder.words, BATCH_STORED_AT >> 2, storedAt);
  builder.words[BATCH_EPOCH >> 2] = epoch;
  if (key !== undefined) builder.bytes[BATCH_FLAGS] |= FLAG_KEYS;
  return builder.bytes.slice(0, length) as Uint8Array<ArrayBuffer>;
}

/** Messages of one partition in one block. */
export interface Span {
  readonly topicId: number;
  readonly partition: number;
  readonly baseOffset: number;
  readonly nextOffset: number;
}

export interface SampleOptions {
  readonly generation?: number;
  readonly segmentBytes?: number;
}

export interface SampleRun {
  readonly topicId?: number;
  readonly partition?: number;
  readonly count?: number;
  readonly bodyBytes?: number;
}

/** What the segments of a log hold, in order, as the verification reads it. */
export function spansOnDisk(disk: Disk): Span[] {
  return segmentBases(disk).flatMap((base) =>
    [...runsOf(verifySegment(disk, base).runs)].map(({ topicId, partition, baseOffset, nextOffset }) => ({
      topicId,
      partition,
      baseOffset,
      nextOffset,
    })),
  );
}

/** Writes logs as the store does, and remembers what it wrote. */
export class SampleLog {
  readonly builder = new BlockBuilder(MEMORY);
  /** What was appended, block by block, in order. */
  readonly blocks: (readonly Span[])[] = [];
  readonly writer: LogWriter;
  private readonly nextOffsets = new Map<string, number>();

  constructor(disk: Disk, mode: 'direct' | 'buffered', start: LogStart = EMPTY_LOG, options: SampleOptions = {}) {
    const { generation = 1, segmentBytes = SEGMENT } = options;
    this.writer = new LogWriter(disk, { mode, segmentBytes, generation, clock: () => 1_234 }, start);
  }

  /** Goes on with the offsets of another one's partitions. */
  continueFrom(queues: readonly { topicId: number; partition: number; nextOffset: number }[]): this {
    for (const { topicId, partition, nextOffset } of queues) {
      this.nextOffsets.set(`${topicId}.${partition}`, nextOffset);
    }
    return this;
  }

  /** Stages one block: a run for each entry. */
  stage(...runs: readonly SampleRun[]): Span[] {
    this.builder.begin();
    return runs.map(({ topicId = 1, partition = 0, count = 1, bodyBytes = 16 }) => {
      const key = `${topicId}.${partition}`;
      const baseOffset = this.nextOffsets.get(key) ?? 0;
      const batch = sampleBatch({ baseOffset, count, bodyBytes });
      this.builder.openRun(topicId, partition, 1);
      this.builder.copy(batch, 0, batch.length);
      this.builder.closeRun();
      this.nextOffsets.set(key, baseOffset + count);
      return { topicId, partition, baseOffset, nextOffset: baseOffset + count };
    });
  }

  /** Stages and appends one block. */
  append(...runs: readonly SampleRun[]): Span[] {
    const spans = this.stage(...runs);
    this.writer.append(this.builder);
    this.blocks.push(spans);
    return spans;
  }
}
