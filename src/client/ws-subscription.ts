// One consumer's subscription: what arrived for it and could not be handed on yet, and where it resumes.
import { BatchView } from '../record/batch-view.ts';
import type { CommandOf, PartitionPosition, PartitionStart, StartFrom } from '../wire/commands.ts';
import { type RingConsumer, STOP } from './consumer.ts';

/** Whom bytes are given back to. */
export interface CreditOwner {
  consumed(lengthBytes: number): void;
}

/** A run of batches, or news of a gap, that waits for its consumer. */
interface Held {
  readonly bytes: Uint8Array;
  readonly words: Int32Array;
  start: number;
  end: number;
  readonly gap: CommandOf<'gap'> | undefined;
  /** Undefined once the bytes were given back. */
  owner: CreditOwner | undefined;
}

const NO_BYTES = new Uint8Array(0);
const NO_WORDS = new Int32Array(0);

export class WsSubscription {
  readonly id: number;
  readonly consumer: RingConsumer<unknown>;
  /** The broker has said where it starts, at least once. */
  begun = false;
  /** Not subscribed while its consumer wants nothing: see Deliveries.up(). */
  parked = false;
  /** On its way to a session of its own, where it begins although its consumer has stopped. */
  moving = false;
  /** The consumer of a parked subscription wants to go on. */
  onUnpark: () => void = () => {};
  private held: Held[] = [];
  private heldLength = 0;
  private draining = false;
  /** Partition number -> id: a topic that was made anew has other ids. */
  private readonly ids = new Map<number, number>();
  private readonly view = new BatchView();

  constructor(id: number, consumer: RingConsumer<unknown>) {
    this.id = id;
    this.consumer = consumer;
  }

  get topic(): string {
    return this.consumer.topic;
  }

  /** Bytes that wait for the consumer. */
  get heldBytes(): number {
    return this.heldLength;
  }

  /** Where to (re)start: what the user asked for, or where it was. */
  from(): StartFrom {
    const { asked, options } = this.consumer;
    if (this.begun) return { positions: this.received() };
    return asked.length > 0 ? { positions: asked } : (options.from ?? 'latest');
  }

  /** The broker has said where partitions start, for the first time or again. */
  started(starts: readonly PartitionStart[]): void {
    const { consumer } = this;
    const fresh = starts.filter((start) => !this.resumes(start));
    if (this.begun && fresh.length === 0) return;
    this.begun = true;
    for (const { id, number } of fresh) {
      const old = this.ids.get(number);
      if (old !== undefined && old !== id) consumer.dropCursor(old);
      this.ids.set(number, id);
    }
    consumer.begin(fresh);
  }

  /** The batch at which `view` stands. Returns its bytes if they were handed on, 0 if they are held. HOT */
  deliver(view: BatchView, owner: CreditOwner): number {
    const { consumer } = this;
    if (this.held.length === 0 && !consumer.full) {
      const cursor = consumer.cursor(view.partition);
      if (cursor === undefined || consumer.deliver(view, cursor) !== STOP) return view.size;
    }
    this.hold(view, owner);
    return 0;
  }

  /** Offsets were lost. In its place among what is held. */
  gap(gap: CommandOf<'gap'>): void {
    if (this.held.length === 0) this.tellGap(gap);
    else this.held.push({ bytes: NO_BYTES, words: NO_WORDS, start: 0, end: 0, gap, owner: undefined });
  }

  /** The consumer wants to go on. Not in its own call: it may be in the middle of taking a message. */
  readonly wanted = (): void => {
    if (this.parked) this.onUnpark();
    if (this.draining || this.held.length === 0) return;
    this.draining = true;
    queueMicrotask(this.drain);
  };

  /** Forgets what is held: it will be asked for again. */
  drop(): void {
    for (const one of this.held) one.owner?.consumed(one.end - one.start);
    this.held = [];
    this.heldLength = 0;
  }

  /** Keeps what is held but gives its bytes back, so that they stop nobody else. */
  disown(): void {
    for (const one of this.held) {
      one.owner?.consumed(one.end - one.start);
      one.owner = undefined;
    }
  }

  private readonly drain = (): void => {
    this.draining = false;
    while (this.held.length > 0) {
      const first = this.held[0];
      if (first.gap) this.tellGap(first.gap);
      else if (!this.drainOne(first)) return;
      this.held.shift();
    }
  };

  /** False: the consumer has enough again. */
  private drainOne(one: Held): boolean {
    const { view, consumer } = this;
    view.span(one.bytes, one.words, one.start, one.end - one.start);
    while (view.next()) {
      const cursor = consumer.cursor(view.partition);
      if (cursor !== undefined && (consumer.full || consumer.deliver(view, cursor) === STOP)) {
        this.release(one, view.at);
        return false;
      }
    }
    this.release(one, one.end);
    return true;
  }

  private release(one: Held, upTo: number): void {
    const length = upTo - one.start;
    one.start = upTo;
    this.heldLength -= length;
    if (length > 0) one.owner?.consumed(length);
  }

  private hold(view: BatchView, owner: CreditOwner): void {
    const last = this.held.at(-1);
    if (last !== undefined && last.bytes === view.bytes && last.end === view.at && last.owner === owner)
      last.end = view.end;
    else {
      const { bytes, words } = view;
      this.held.push({ bytes, words, start: view.at, end: view.end, gap: undefined, owner });
    }
    this.heldLength += view.size;
  }

  /** Position behind everything that arrived, handed on or held. */
  private received(): readonly PartitionPosition[] {
    const { consumer, view } = this;
    const behind = new Map<number, PartitionPosition>();
    for (const position of consumer.positions()) behind.set(position.partition, position);
    for (const one of this.held) {
      view.span(one.bytes, one.words, one.start, one.end - one.start);
      while (view.next()) {
        const partition = consumer.cursor(view.partition)?.number;
        if (partition === undefined) continue;
        behind.set(partition, { partition, epoch: view.epoch, offset: view.baseOffset + view.count });
      }
    }
    return [...behind.values()];
  }

  /** True if a known partition goes on where it was; then its cursor stays. */
  private resumes(start: PartitionStart): boolean {
    const { consumer } = this;
    const cursor = consumer.cursor(start.id);
    if (cursor === undefined || cursor.number !== start.number) return false;
    const { id, number, epoch, offset: toOffset, gapFrom: fromOffset } = start;
    if (start.gap) {
      // In its place among what is held: that is of the generation before.
      const again = epoch === cursor.newest ? 'ahead' : 'epoch-changed';
      const reason = fromOffset < toOffset ? 'expired' : again;
      this.gap({ type: 'gap', id, number, epoch, topic: this.topic, fromOffset, toOffset, reason });
    }
    cursor.newest = Math.max(cursor.newest, epoch);
    return true;
  }

  private tellGap(gap: CommandOf<'gap'>): void {
    const { consumer } = this;
    const cursor = consumer.cursor(gap.id);
    if (cursor === undefined) return;
    const { fromOffset, toOffset, reason, epoch } = gap;
    // Offsets may go back where a restart took some, or all of a volatile partition.
    const anew = reason === 'epoch-changed' || reason === 'ahead' || epoch > cursor.newest;
    if (!anew && toOffset <= cursor.expected) return;
    const from = anew ? fromOffset : Math.max(cursor.expected, fromOffset);
    cursor.epoch = epoch;
    cursor.newest = Math.max(cursor.newest, epoch);
    cursor.expected = toOffset;
    consumer.gap(gap.number, from, toOffset, reason);
  }
}
