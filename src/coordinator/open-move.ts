// A move between its intent and its end: what of it is in the journal, and what has been answered.
import type { CodeName } from '../base/codes.ts';
import type { MovePlan, PlannedBatch } from './move-batches.ts';

/** Names the owner of a move, and (in members of the owner's own) where the records come from. JSON. */
export interface MoveSource {
  readonly kind: string;
}

export interface Move {
  readonly topic: string;
  /** Number of the partition. Left out: by key, as producers do; messages without a key all to one, in turn. */
  readonly partition?: number;
  /** Says where the records come from: goes to the journal, so keep it small. */
  readonly source: MoveSource;
  /** Whole batches, whose records are moved in their order. The memory is the mover's from now on. */
  readonly payload: Uint8Array;
  /** Called when the intent is on the disk, before anything is published: see M5 of the mover. */
  readonly decided?: () => void;
  /** Nobody waits until it is on the disk. Default false. */
  readonly lazy?: boolean;
}

/** A batch that was moved; offset -1: taken before, and the broker does not remember where. */
export interface MovedBatch {
  readonly partition: number;
  readonly offset: number;
  readonly count: number;
  /** Which records of the move, in turn. */
  readonly ordinals: readonly number[];
}

/**
 * Where moves of one kind come from. The hooks are called when their record has been written, and again, in the same
 * order, while the journal is read at a start. Do not append to the journal while `replaying`.
 */
export interface MoveOwner<S extends MoveSource = MoveSource> {
  /** After a restart: the records of an open move, the same ones in the same order. A refusal fails the move. */
  resolve(source: S): Promise<Uint8Array>;
  /** Written: it will happen. The source counts as acknowledged from here on. */
  intended?(source: S, replaying: boolean): void;
  /** After a restart, for each move that was not done: repeat what intended() may not have finished. */
  recovered?(source: S): void;
  done?(source: S, batches: readonly MovedBatch[], replaying: boolean): void;
  /** Nothing (or not all) of it was published, and will not be: the topic is gone, the message too large for it. */
  failed?(source: S, code: CodeName, replaying: boolean): void;
}

/** Identity of one batch. */
export interface MovePart {
  readonly partition: number;
  readonly producer: number;
  readonly sequence: number;
  readonly count: number;
}

/** An intent in the journal. */
export interface WrittenMove {
  readonly id: number;
  readonly topic: string;
  readonly source: MoveSource;
  readonly plan: MovePlan;
  /** Four numbers a batch: partition, producer id, sequence, count. */
  readonly parts: readonly number[];
  /** Batch that each record is in; left out: they are in turn. */
  readonly order?: readonly number[];
  /** On a durable topic, of each batch: an offset that it does not lie before. */
  readonly places?: readonly number[];
}

/** A record of the journal. */
export interface MoveRecord {
  readonly intents?: readonly WrittenMove[];
  readonly renewed?: readonly (MovePart & { readonly id: number; readonly index: number })[];
  /** `code`: why it failed. */
  readonly ends?: readonly { readonly id: number; readonly offsets: readonly number[]; readonly code?: CodeName }[];
}

/** Numbers of a part in WrittenMove. */
const PART_NUMBERS = 4;
const UNKNOWN_OFFSET = -1;

export class OpenMove {
  readonly id: number;
  readonly topic: string;
  readonly source: MoveSource;
  readonly plan: MovePlan;
  readonly parts: MovePart[] = [];
  /** Of each part, once answered. */
  private readonly offsets: (number | undefined)[] = [];
  private order: readonly number[] | undefined;
  places: readonly number[] | undefined;
  failure: CodeName | undefined;
  /** See Move. */
  decided: (() => void) | undefined;
  lazy = false;
  /** What is published; undefined until it is known (again). */
  batches: readonly PlannedBatch[] | undefined;
  resolve: (moved: readonly MovedBatch[]) => void = () => {};
  reject: (error: unknown) => void = () => {};

  constructor(id: number, topic: string, source: MoveSource, plan: MovePlan) {
    this.id = id;
    this.topic = topic;
    this.source = source;
    this.plan = plan;
  }

  /** The move that an intent in the journal tells of. */
  static from({ id, topic, source, plan, parts, order, places }: WrittenMove): OpenMove {
    const move = new OpenMove(id, topic, source, plan);
    move.order = order;
    move.places = places;
    for (let i = 0; i + PART_NUMBERS <= parts.length; i += PART_NUMBERS) {
      const [partition, producer, sequence, count] = parts.slice(i, i + PART_NUMBERS);
      move.add({ partition, producer, sequence, count });
    }
    return move;
  }

  /** Remembers which records the batches have. */
  orderBy(batches: readonly PlannedBatch[]): void {
    const order: number[] = [];
    batches.forEach(({ ordinals }, index) => {
      for (const ordinal of ordinals) order[ordinal] = index;
    });
    if (order.some((index, i) => i > 0 && index < order[i - 1])) this.order = order;
  }

  add(part: MovePart): void {
    this.parts.push(part);
    this.offsets.push(undefined);
  }

  renew(index: number, part: MovePart): void {
    this.parts[index] = part;
  }

  settle(index: number, offset: number, failure: CodeName | undefined): void {
    this.offsets[index] = offset;
    this.failure ??= failure;
  }

  isAnswered(index: number): boolean {
    return this.offsets[index] !== undefined;
  }

  get isSettled(): boolean {
    return this.offsets.every((offset) => offset !== undefined);
  }

  get moved(): readonly MovedBatch[] {
    let next = 0;
    return this.parts.map(({ partition, count }, index) => {
      const { order } = this;
      const ordinals: number[] = [];
      if (order === undefined) for (let i = 0; i < count; i++) ordinals.push(next++);
      else for (let i = 0; i < order.length; i++) if (order[i] === index) ordinals.push(i);
      return { partition, offset: this.offsets[index] ?? UNKNOWN_OFFSET, count, ordinals };
    });
  }

  /** True if these are the batches that were written down. */
  fits(batches: readonly PlannedBatch[]): boolean {
    const { parts } = this;
    return (
      batches.length === parts.length &&
      batches.every((one, i) => one.partition === parts[i].partition && one.count === parts[i].count)
    );
  }

  written(): WrittenMove {
    const parts = this.parts.flatMap((one) => [one.partition, one.producer, one.sequence, one.count]);
    const { id, topic, source, plan, order, places } = this;
    return { id, topic, source, plan, parts, ...(order ? { order } : {}), ...(places ? { places } : {}) };
  }

  ended(): { readonly id: number; readonly offsets: readonly number[]; readonly code?: CodeName } {
    const offsets = this.offsets.map((offset) => offset ?? UNKNOWN_OFFSET);
    return this.failure === undefined ? { id: this.id, offsets } : { id: this.id, offsets, code: this.failure };
  }
}

/** True for what the mover writes: the journal's records were checked when they were read. */
export function isMoveRecord(record: unknown): record is MoveRecord {
  return typeof record === 'object' && record !== null;
}
