// Batches that were put into a lane and not answered yet: our request number -> who asked, and under which number.
// Typed arrays, because this happens for every batch. A number carries a generation: a broker worker that dies between
// answering and giving back its lane leaves a successor that answers once more, and that answer must not meet another
// request.
import { NONE } from '../memory/lane.ts';

/** Hears the answer to one batch. */
export interface RequestTarget {
  /** `request` is the number that the target gave. */
  answered(request: number, status: number, partition: number, count: number, baseOffset: number): void;
}

const SLOT_BITS = 19;
const SLOT_MASK = (1 << SLOT_BITS) - 1;
const SLOTS_MAX = 1 << SLOT_BITS;
const GENERATION_MASK = (1 << (31 - SLOT_BITS)) - 1;
const SLOTS_FIRST = 1_024;

export class RequestTable {
  private readonly targets: (RequestTarget | undefined)[] = [];
  private requests = new Int32Array(0);
  private generations = new Int32Array(0);
  /** Free slots, linked: the next one after each. */
  private next = new Int32Array(0);
  private free = NONE;
  private used = 0;

  /** Number of requests without an answer. */
  get pending(): number {
    return this.used;
  }

  /** A number (positive) for a request, or NONE if there are half a million already. HOT */
  tryOpen(target: RequestTarget, request: number): number {
    if (this.free === NONE && !this.tryGrow()) return NONE;
    const slot = this.free;
    this.free = this.next[slot];
    this.targets[slot] = target;
    this.requests[slot] = request;
    this.used++;
    return (this.generations[slot] << SLOT_BITS) | slot;
  }

  /** The request is answered: tells its target. Numbers that are not open (any more) are ignored. HOT */
  answer(number: number, status: number, partition: number, count: number, baseOffset: number): void {
    const target = this.close(number);
    if (target === undefined) return;
    target.answered(this.requests[number & SLOT_MASK], status, partition, count, baseOffset);
  }

  /** Takes tryOpen() back. Returns the target that was waiting. HOT */
  close(number: number): RequestTarget | undefined {
    const slot = number & SLOT_MASK;
    if (number < 0 || slot >= this.targets.length || number >>> SLOT_BITS !== this.generations[slot]) return undefined;
    const target = this.targets[slot];
    if (target === undefined) return undefined;
    this.targets[slot] = undefined;
    this.generations[slot] = (this.generations[slot] + 1) & GENERATION_MASK;
    this.next[slot] = this.free;
    this.free = slot;
    this.used--;
    return target;
  }

  private tryGrow(): boolean {
    const before = this.targets.length;
    if (before === SLOTS_MAX) return false;
    const count = Math.max(SLOTS_FIRST, before * 2);
    this.requests = grown(this.requests, count);
    this.generations = grown(this.generations, count);
    this.next = grown(this.next, count);
    for (let slot = count - 1; slot >= before; slot--) {
      this.next[slot] = this.free;
      this.free = slot;
    }
    // One by one: an array of holes would be slower to read.
    for (let slot = before; slot < count; slot++) this.targets.push(undefined);
    return true;
  }
}

function grown(words: Int32Array<ArrayBuffer>, count: number): Int32Array<ArrayBuffer> {
  const larger = new Int32Array(count);
  larger.set(words);
  return larger;
}
