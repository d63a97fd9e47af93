// Idempotent publishing: which batches of a producer a partition has accepted already. The idea and the rules for gaps
// are Kafka's (KIP-98): producer id + sequence, strictly in order, the last few batches remembered with their offsets.

/** Not seen before and next in order: accept it. */
export const FRESH = 0;
/** Accepted before: answer with its old offset. */
export const DUPLICATE = 1;
/** An earlier batch of the producer is missing (it was refused and will be sent again): refuse this one too. */
export const OUT_OF_ORDER = 2;
/** Sent before, and nobody knows any more whether it was accepted: refuse it for good. */
export const UNPROVEN = 3;
/** Refused for good before, and what followed it was accepted: answer as then. */
export const SKIPPED = 4;
export type Verdict = typeof FRESH | typeof DUPLICATE | typeof OUT_OF_ORDER | typeof UNPROVEN | typeof SKIPPED;

const REMEMBERED = 16;
/** Runs of skipped sequences that are remembered of a producer. */
const SKIPS_MAX = 64;
const UNKNOWN_OFFSET = -1;

/** One producer's standing with one partition. */
class ProducerState {
  readonly id: number;
  /** Sequence that the next batch must start with; int32, wraps. */
  expected: number;
  /** Sequence and offset side by side: one array is one object less to fetch, of a partition that no cache holds. */
  private readonly batches = new Float64Array(REMEMBERED * 2).fill(UNKNOWN_OFFSET);
  private next = 0;
  /** Offset of the newest batch; -1 if there is none. */
  newest = UNKNOWN_OFFSET;
  /** What was refused for good: first sequence and the one behind the last, oldest first. */
  private readonly skips: { readonly from: number; to: number }[] = [];
  /** Of what lies before this nobody knows whether it was skipped. */
  private unprovenBefore: number | undefined;

  constructor(id: number, expected: number) {
    this.id = id;
    this.expected = expected;
  }

  /** What lies before `sequence` may have been skipped without our knowledge. */
  startAt(sequence: number): void {
    this.unprovenBefore = sequence;
  }

  skip(from: number, to: number): void {
    if (this.isSkipped(from)) return;
    const last = this.skips.at(-1);
    if (last?.to === from) last.to = to;
    else this.skips.push({ from, to });
    if (this.skips.length > SKIPS_MAX) this.unprovenBefore = this.skips.shift()?.to;
  }

  /** Of a sequence before the expected one. */
  judge(sequence: number): Verdict {
    if (this.isSkipped(sequence)) return SKIPPED;
    const { unprovenBefore } = this;
    if (unprovenBefore === undefined || !isBefore(sequence, unprovenBefore)) return DUPLICATE;
    return this.offsetOf(sequence) === UNKNOWN_OFFSET ? UNPROVEN : DUPLICATE;
  }

  private isSkipped(sequence: number): boolean {
    return this.skips.some(({ from, to }) => !isBefore(sequence, from) && isBefore(sequence, to));
  }

  remember(sequence: number, offset: number): void {
    this.batches[this.next] = sequence;
    this.batches[this.next + 1] = offset;
    this.next = (this.next + 2) % (REMEMBERED * 2);
    this.newest = offset;
  }

  offsetOf(sequence: number): number {
    for (let i = 0; i < REMEMBERED * 2; i += 2) {
      if (this.batches[i] === sequence && this.batches[i + 1] !== UNKNOWN_OFFSET) return this.batches[i + 1];
    }
    return UNKNOWN_OFFSET;
  }
}

/** All producers that one partition has heard of lately; the least recently seen is forgotten first. */
export class Dedupe {
  /** Every producer of a batch at this offset or behind it is remembered. */
  knownFrom = 0;
  /** Batches may have been refused for good that nobody here has heard of: before a restart. */
  rejects = false;
  private readonly producers = new Map<number, ProducerState>();
  private readonly producersMax: number;
  private last: ProducerState | undefined;

  constructor(producersMax = 4096) {
    this.producersMax = producersMax;
  }

  /** Number of producers remembered. */
  get size(): number {
    return this.producers.size;
  }

  /**
   * Judges a batch; `strict`: an unknown producer must begin with sequence 0. `floor`: if it was accepted before, then
   * at this offset or behind it. Nothing changes. HOT
   */
  check(producerId: number, baseSequence: number, strict = false, floor = Number.MAX_SAFE_INTEGER): Verdict {
    const state = this.find(producerId);
    if (state === undefined) {
      if (floor < this.knownFrom) return UNPROVEN;
      return strict && baseSequence !== 0 ? OUT_OF_ORDER : FRESH;
    }
    if (state.expected === baseSequence) return FRESH;
    return isBefore(baseSequence, state.expected) ? state.judge(baseSequence) : OUT_OF_ORDER;
  }

  /** Offset that a duplicate got the first time, or -1 if that is no longer known. */
  offsetOf(producerId: number, baseSequence: number): number {
    return this.find(producerId)?.offsetOf(baseSequence) ?? UNKNOWN_OFFSET;
  }

  /** The batch was accepted at `offset`; what is missing before it was skipped. HOT */
  accepted(producerId: number, baseSequence: number, count: number, offset: number): void {
    const state = this.find(producerId) ?? this.add(producerId, baseSequence);
    if (state.expected !== baseSequence && isBefore(state.expected, baseSequence)) {
      state.skip(state.expected, baseSequence);
    }
    state.remember(baseSequence, offset);
    state.expected = (baseSequence + count) | 0;
  }

  /** The batch was refused for good: what follows it is in order. */
  skipped(producerId: number, baseSequence: number, count: number): void {
    const state = this.find(producerId) ?? this.add(producerId, baseSequence);
    state.expected = (baseSequence + count) | 0;
    state.skip(baseSequence, state.expected);
  }

  /** The batch was refused for now and will come again: what follows it must wait. */
  deferred(producerId: number, baseSequence: number): void {
    if (!this.find(producerId)) this.add(producerId, baseSequence);
  }

  private find(producerId: number): ProducerState | undefined {
    if (this.last?.id === producerId) return this.last;
    const state = this.producers.get(producerId);
    if (!state) return undefined;
    // Re-inserting keeps the map in the order of use.
    this.producers.delete(producerId);
    this.producers.set(producerId, state);
    this.last = state;
    return state;
  }

  private add(producerId: number, expected: number): ProducerState {
    if (this.producers.size >= this.producersMax) {
      const [[oldest, { newest }]] = this.producers;
      this.producers.delete(oldest);
      this.knownFrom = Math.max(this.knownFrom, newest + 1);
      if (this.last?.id === oldest) this.last = undefined;
    }
    const state = new ProducerState(producerId, expected);
    if (this.rejects && expected !== 0) state.startAt(expected);
    this.producers.set(producerId, state);
    this.last = state;
    return state;
  }
}

/** Sequences wrap. */
function isBefore(sequence: number, other: number): boolean {
  return ((sequence - other) | 0) < 0;
}
