// A bench thread that reads the same messages again and again, with and without filters, and checks what it gets.
import { type Attachment, attach, type Batch, type Filter } from '../../../src/index.ts';
import { BOARD } from '../../support/threads.ts';

export interface FilterData {
  readonly attachment: Attachment;
  readonly topic: string;
  /** Messages of the topic; every `every`-th has the tag `rare`. */
  readonly count: number;
  readonly every: number;
  readonly bodyBytes: number;
  readonly runs: readonly FilterRun[];
}

export interface FilterRun {
  /** Undefined: everything. */
  readonly filter?: Filter;
  readonly durationMs: number;
}

export interface FilterResult {
  readonly scannedPerSecond: readonly number[];
  readonly wrong: number;
}

/** Looks at messages `step` apart, and nothing else. */
export class StepChecker {
  wrong = 0;
  private next = 0;
  private readonly step: number;
  private readonly lastByte: number;

  constructor(step: number, bodyBytes: number) {
    this.step = step;
    this.lastByte = bodyBytes - 4;
  }

  take(batch: Batch): void {
    while (batch.next()) {
      if (batch.int32(0) !== this.next || batch.int32(this.lastByte) !== ~this.next) this.wrong++;
      this.next += this.step;
    }
  }

  /** Counts what is missing at the end. */
  finish(count: number): void {
    const wanted = Math.ceil(count / this.step) * this.step;
    if (this.next !== wanted) this.wrong++;
    this.next = 0;
  }
}

export async function run(data: FilterData, board: Int32Array, ready: () => void): Promise<FilterResult> {
  const { topic, count, every, bodyBytes } = data;
  const connection = attach(data.attachment);
  ready();
  Atomics.wait(board, BOARD.go, 0);
  const scannedPerSecond: number[] = [];
  let wrong = 0;
  for (const { filter, durationMs } of data.runs) {
    const checker = new StepChecker(filter === undefined ? 1 : every, bodyBytes);
    const onBatch = (batch: Batch): void => checker.take(batch);
    let scanned = 0;
    let spent = 0;
    while (spent < durationMs) {
      const consumer = connection.consumer(topic, {
        from: 'earliest',
        onBatch,
        ...(filter === undefined ? {} : { filter }),
      });
      const began = performance.now();
      await consumer.ready();
      while (consumer.positions()[0].offset < count) if (connection.poll() === 0) connection.wait(20);
      spent += performance.now() - began;
      scanned += count;
      checker.finish(count);
      await consumer.close();
    }
    scannedPerSecond.push((scanned * 1_000) / spent);
    wrong += checker.wrong;
  }
  await connection.close();
  return { scannedPerSecond, wrong };
}
