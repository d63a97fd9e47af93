// Runs as columns of numbers: about 80 bytes each and no object, however many there are.
import type { Run } from './run.ts';

const FIRST_CAPACITY = 1_024;

export class RunColumns {
  count = 0;
  topicId = new Int32Array(FIRST_CAPACITY);
  partition = new Int32Array(FIRST_CAPACITY);
  baseOffset = new Float64Array(FIRST_CAPACITY);
  nextOffset = new Float64Array(FIRST_CAPACITY);
  storedFirst = new Float64Array(FIRST_CAPACITY);
  /** When its last batch was stored, or one of its queue before it, whichever is later: never falls. */
  storedLast = new Float64Array(FIRST_CAPACITY);
  position = new Float64Array(FIRST_CAPACITY);
  size = new Int32Array(FIRST_CAPACITY);
  storedSpan = new Int32Array(FIRST_CAPACITY);
  epoch = new Int32Array(FIRST_CAPACITY);
  flags = new Int32Array(FIRST_CAPACITY);
  records = new Int32Array(FIRST_CAPACITY);

  /** Adds a run and returns its index. `storedLast` as the column. HOT */
  add(run: Run, storedLast: number): number {
    if (this.count === this.size.length) this.grow();
    const i = this.count++;
    this.topicId[i] = run.topicId;
    this.partition[i] = run.partition;
    this.baseOffset[i] = run.baseOffset;
    this.nextOffset[i] = run.nextOffset;
    this.storedFirst[i] = run.storedFirst;
    this.storedLast[i] = storedLast;
    this.position[i] = run.position;
    this.size[i] = run.size;
    this.storedSpan[i] = run.storedSpan;
    this.epoch[i] = run.epoch;
    this.flags[i] = run.flags;
    this.records[i] = run.records;
    return i;
  }

  /** Forgets all runs, and keeps the room: the next segment has about as many. */
  clear(): void {
    this.count = 0;
  }

  run(i: number): Run {
    return {
      topicId: this.topicId[i],
      partition: this.partition[i],
      baseOffset: this.baseOffset[i],
      nextOffset: this.nextOffset[i],
      storedFirst: this.storedFirst[i],
      storedSpan: this.storedSpan[i],
      epoch: this.epoch[i],
      flags: this.flags[i],
      records: this.records[i],
      position: this.position[i],
      size: this.size[i],
    };
  }

  private grow(): void {
    this.topicId = grownInts(this.topicId);
    this.partition = grownInts(this.partition);
    this.baseOffset = grownFloats(this.baseOffset);
    this.nextOffset = grownFloats(this.nextOffset);
    this.storedFirst = grownFloats(this.storedFirst);
    this.storedLast = grownFloats(this.storedLast);
    this.position = grownFloats(this.position);
    this.size = grownInts(this.size);
    this.storedSpan = grownInts(this.storedSpan);
    this.epoch = grownInts(this.epoch);
    this.flags = grownInts(this.flags);
    this.records = grownInts(this.records);
  }
}

/** The same numbers in twice the room. */
export function grownInts(column: Int32Array<ArrayBuffer>): Int32Array<ArrayBuffer> {
  const larger = new Int32Array(column.length * 2);
  larger.set(column);
  return larger;
}

/** The same numbers in twice the room. */
export function grownFloats(column: Float64Array<ArrayBuffer>): Float64Array<ArrayBuffer> {
  const larger = new Float64Array(column.length * 2);
  larger.set(column);
  return larger;
}
