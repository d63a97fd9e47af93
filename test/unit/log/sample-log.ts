// Small logs for tests: written by the real writer onto a real disk, with a plain model of what is in them beside.
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { BATCH_BASE_OFFSET, BATCH_EPOCH, BATCH_STORED_AT } from '../../../native-layout/batch.ts';
import { BlockBuilder } from '../../../src/log/block-builder.ts';
import type { Disk } from '../../../src/log/disk.ts';
import { NodeDisk } from '../../../src/log/disk-node.ts';
import { LogWriter } from '../../../src/log/log-writer.ts';
import type { Run } from '../../../src/log/run.ts';
import { fileLength, segmentBases, segmentName } from '../../../src/log/segment-files.ts';
import { BatchBuilder } from '../../../src/record/batch-builder.ts';
import { BatchView, RecordView } from '../../../src/record/batch-view.ts';
import { putInt64 } from '../../../src/record/int64.ts';

export const T0 = 1_700_000_000_000;

/** A batch as it stands in a ring: `count` records `topic/partition@offset`, some bytes longer if wanted. */
export function stampedBatch(
  name: string,
  offset: number,
  count: number,
  storedAt: number,
  options: { readonly epoch?: number; readonly bodyBytes?: number; readonly key?: (offset: number) => string } = {},
): Uint8Array {
  const builder = new BatchBuilder(4 * 1024 * 1024);
  for (let i = 0; i < count; i++) {
    const body = Buffer.from(`${name}@${offset + i}`.padEnd(options.bodyBytes ?? 0, '.'));
    builder.tryAdd(body, options.key ? { key: options.key(offset + i) } : {}, storedAt);
  }
  const length = builder.closePayload(false);
  builder.words[BATCH_EPOCH >> 2] = options.epoch ?? 1;
  putInt64(builder.words, BATCH_BASE_OFFSET >> 2, offset);
  putInt64(builder.words, BATCH_STORED_AT >> 2, storedAt);
  return builder.bytes.slice(0, length);
}

/** Records `offset:body` of whole batches. */
export function recordsIn(bytes: Uint8Array, at: number, length: number): string[] {
  const copy = bytes.slice(at, at + length);
  const view = new BatchView().span(copy, new Int32Array(copy.buffer), 0, length);
  const record = new RecordView();
  const found: string[] = [];
  while (view.next()) {
    record.open(view);
    while (record.next()) found.push(`${record.offset}:${record.text().replace(/\.+$/, '')}`);
  }
  return found;
}

/** What recordsIn() should say of a queue's offsets. */
export function expected(topicId: number, partition: number, from: number, to: number): string[] {
  return Array.from({ length: to - from }, (_, i) => `${from + i}:${topicId}/${partition}@${from + i}`);
}

export interface RunSpec {
  readonly topicId: number;
  readonly partition: number;
  /** Records of each batch. */
  readonly counts: readonly number[];
  readonly storedAt?: number;
  readonly bodyBytes?: number;
  readonly epoch?: number;
  readonly key?: (offset: number) => string;
}

/** A log in a temporary folder. */
export class SampleLog {
  readonly folder: string;
  readonly disk: Disk;
  readonly builder = new BlockBuilder();
  readonly writer: LogWriter;
  /** All runs, in the order of the log. */
  readonly runs: Run[] = [];
  private readonly next = new Map<string, number>();
  private now = T0;

  constructor(segmentBytes = 64 * 1024, mode: 'direct' | 'buffered' = 'buffered', disk?: Disk) {
    this.folder = disk?.folder ?? fs.mkdtempSync(path.join(os.tmpdir(), 'ringmq-log-'));
    this.disk = disk ?? new NodeDisk(this.folder);
    const options = { mode, segmentBytes, generation: 1, clock: () => this.now };
    this.writer = new LogWriter(this.disk, options, { segments: [], end: 0, previousCrc: 0 });
  }

  /** Writes one block with these runs; each batch is stored a millisecond later than the one before. */
  block(...specs: readonly RunSpec[]): readonly Run[] {
    this.stage(...specs);
    return this.write();
  }

  /** Fills a block. */
  stage(...specs: readonly RunSpec[]): void {
    this.builder.begin();
    for (const { topicId, partition, counts, storedAt, bodyBytes = 0, epoch = 1, key } of specs) {
      const queue = `${topicId}/${partition}`;
      this.builder.openRun(topicId, partition, epoch);
      for (const count of counts) {
        const offset = this.next.get(queue) ?? 0;
        const at = storedAt ?? ++this.now;
        const batch = stampedBatch(queue, offset, count, at, { bodyBytes, epoch, ...(key ? { key } : {}) });
        this.builder.copy(batch, 0, batch.length);
        this.next.set(queue, offset + count);
      }
      this.builder.closeRun();
    }
  }

  /** Writes what was staged; again, if it failed. */
  write(): readonly Run[] {
    this.writer.append(this.builder);
    this.writer.sync();
    const written = this.builder.runs.map((run) => ({ ...run }));
    this.runs.push(...written);
    return written;
  }

  end(topicId: number, partition: number): number {
    return this.next.get(`${topicId}/${partition}`) ?? 0;
  }

  /** As a recovery would say. */
  extent(): { segments: { base: number; lengthBytes: number; sealed: boolean }[]; end: number } {
    const bases = segmentBases(this.disk);
    const segments = bases.map((base, i) => ({
      base,
      lengthBytes: fileLength(this.disk, segmentName(base)),
      sealed: i + 1 < bases.length,
    }));
    return { segments, end: this.writer.end };
  }

  remove(): void {
    this.writer.close();
    fs.rmSync(this.folder, { recursive: true, force: true });
  }
}
