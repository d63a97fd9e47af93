// Everything around a mover that outlives it: partitions that recognise repeats as the broker's do, and a journal. A
// world can end the mover at any step of its way, by kill -9 or by loss of power.
import { REQUEST_FLAGS, REQUEST_INSISTS } from '../../native-layout/batch.ts';
import { CODES, type CodeName, RingmqError } from '../../src/base/codes.ts';
import { BatchPool } from '../../src/client/batch-pool.ts';
import { FixedProducer } from '../../src/client/fixed-producer.ts';
import type { Expecting, Outlet } from '../../src/client/outlet.ts';
import type { Journal, JournalPart } from '../../src/coordinator/journal.ts';
import { batchName, type MoveLog } from '../../src/coordinator/move-log.ts';
import { Mover } from '../../src/coordinator/mover.ts';
import { Dedupe, DUPLICATE, FRESH } from '../../src/partition/dedupe.ts';
import { BatchBuilder, type RecordExtras } from '../../src/record/batch-builder.ts';
import { BatchView, RecordView } from '../../src/record/batch-view.ts';
import type { TopicRoute } from '../../src/wire/commands.ts';
import { routeOf } from './fake-outlet.ts';

/** Thrown where the mover's life ends. */
export class LifeEnds extends Error {}

/** A payload of some texts, as calls carry it. */
export function payloadOf(texts: readonly string[], extras: (text: string) => RecordExtras = () => ({})): Uint8Array {
  const builder = new BatchBuilder(1024 * 1024);
  for (const text of texts) builder.tryAdd(new TextEncoder().encode(text), extras(text), 1_000);
  const length = builder.closePayload(false);
  return builder.bytes.slice(0, length);
}

const BEFORE_DEDUPE: ReadonlySet<CodeName> = new Set(['route-stale', 'no-write-permission', 'message-too-large']);

/** A partition as its owner sees it. */
class StoredPartition {
  dedupe = new Dedupe();
  readonly texts: string[] = [];
  /** What the log has: offsets by identity. */
  readonly log = new Map<string, number>();
  /** Codes to refuse the next batches with. */
  readonly refuse: CodeName[] = [];

  /** The broker was started again, and much was published before that. */
  forget(): void {
    this.dedupe = new Dedupe();
  }

  take(view: BatchView): { code: CodeName; offset: number } {
    // As partition.ts: some refusals come before repeats are looked for, some after.
    const refusal = this.refuse[0];
    if (refusal !== undefined && BEFORE_DEDUPE.has(refusal)) {
      this.refuse.shift();
      return { code: refusal, offset: -1 };
    }
    const verdict = this.dedupe.check(view.producerId, view.baseSequence, true);
    if (verdict === DUPLICATE) {
      return { code: 'duplicate', offset: this.dedupe.offsetOf(view.producerId, view.baseSequence) };
    }
    if (verdict !== FRESH) return { code: 'out-of-order', offset: -1 };
    if (refusal !== undefined) {
      this.refuse.shift();
      const insists = (view.words[(view.at + REQUEST_FLAGS) >> 2] & REQUEST_INSISTS) !== 0;
      if (refusal !== 'ring-full' || insists) this.dedupe.deferred(view.producerId, view.baseSequence);
      else this.dedupe.skipped(view.producerId, view.baseSequence, view.count);
      return { code: refusal, offset: -1 };
    }
    const offset = this.texts.length;
    this.log.set(batchName(view.producerId, view.baseSequence), offset);
    const record = new RecordView().open(view);
    while (record.next()) this.texts.push(record.text());
    this.dedupe.accepted(view.producerId, view.baseSequence, view.count, offset);
    return { code: 'ok', offset };
  }
}

export class MoveWorld {
  readonly topics = new Map<string, { route: TopicRoute; partitions: StoredPartition[] }>();
  readonly warnings: string[] = [];
  /** Records, and how many of them are on the disk. */
  written: { part: string; record: string }[] = [];
  synced = 0;
  clock = 1_000;
  /** Steps that were made; the life ends before step number endAt. */
  steps = 0;
  endAt = Number.POSITIVE_INFINITY;
  /** What the journal refuses with. */
  journalFails: Error | undefined;
  parts: JournalPart[] = [];
  private dead = false;
  private tasks: (() => void)[] = [];
  private lane: { bytes: Uint8Array; expecting: Expecting | undefined }[] = [];
  private answers: (() => void)[] = [];

  topic(name: string, partitions = 1, more: Partial<TopicRoute> = {}): StoredPartition[] {
    const stored = Array.from({ length: partitions }, () => new StoredPartition());
    this.topics.set(name, { route: routeOf(partitions, { topic: name, durable: true, ...more }), partitions: stored });
    return stored;
  }

  /** A new life; the caller registers owners, then calls replay(). */
  begin(): Mover {
    this.dead = false;
    this.tasks = [];
    this.lane = [];
    this.answers = [];
    this.parts = [];
    const life = this.life();
    const mover = new Mover({
      journal: life.journal,
      warn: (text) => void this.warnings.push(text),
      publisher: (topic) =>
        new FixedProducer({ outlet: life.outlet(topic), stalled: () => {}, closed: () => {}, failed: () => {} }, topic),
      log: this.log,
      soon: (task) => void this.tasks.push(task),
    });
    this.parts.push(mover.part);
    return mover;
  }

  replay(): void {
    for (const { part, record } of this.written) {
      this.parts.find(({ name }) => name === part)?.replay(JSON.parse(record));
    }
  }

  /** Writes the journal anew, as it does when it has grown. */
  compact(): void {
    this.written = this.parts.flatMap((part) =>
      [...part.snapshot()].map((record) => ({ part: part.name, record: JSON.stringify(record) })),
    );
    this.synced = this.written.length;
  }

  /** What is not on the disk is gone. */
  losePower(): void {
    this.written.length = this.synced;
  }

  /** A journal for others of the same life. */
  get journal(): Journal {
    return this.life().journal;
  }

  private readonly log: MoveLog = {
    nextOffset: (route) => this.partitionOf(route.id)?.texts.length ?? -1,
    find: async (topic, partition, from) => {
      const log = this.topics.get(topic)?.partitions[partition].log ?? new Map<string, number>();
      return new Map([...log].filter(([, offset]) => offset >= from));
    },
  };

  private partitionOf(id: number): StoredPartition | undefined {
    for (const { route, partitions } of this.topics.values()) {
      const at = route.partitions.findIndex((one) => one.id === id);
      if (at >= 0) return partitions[at];
    }
    return undefined;
  }

  private step(): void {
    if (this.dead || this.steps >= this.endAt) {
      this.dead = true;
      throw new LifeEnds();
    }
    this.steps++;
  }

  private life() {
    const journal: Journal = {
      append: (part, record) => {
        this.step();
        if (this.journalFails) throw this.journalFails;
        this.written.push({ part, record: JSON.stringify(record) });
        this.step();
      },
      sync: () => {
        this.step();
        if (this.journalFails) throw this.journalFails;
        this.synced = this.written.length;
        this.step();
      },
    };
    const outlet = (topic: string): Outlet => {
      const expected = new Map<number, Expecting>();
      let request = 0;
      return {
        pool: new BatchPool(),
        waits: true,
        leavesMemory: false,
        route: async () => {
          const found = this.topics.get(topic);
          if (!found) throw new RingmqError('unknown-topic');
          return found.route;
        },
        expect: (one) => {
          expected.set(++request, one);
          return request;
        },
        forget: (number) => void expected.delete(number),
        hasRoom: () => true,
        tryPut: (_owner, bytes, length) => {
          this.step();
          this.lane.push({ bytes: bytes.slice(0, length), expecting: expected.get(request) });
          return true;
        },
        push: () => {},
        soon: (task) => void this.tasks.push(task),
        now: () => this.clock,
      };
    };
    return { journal, outlet };
  }

  /** Runs until nothing is left to do, or the life ends. */
  async run(mover: Mover): Promise<void> {
    try {
      for (let idle = 0, turns = 0; idle < 12 && !this.dead; idle++) {
        if (++turns > 10_000) throw new Error('it does not come to an end');
        await new Promise((resolve) => setImmediate(resolve));
        this.clock += 2_000;
        if (this.tasks.length + this.lane.length + this.answers.length > 0) idle = 0;
        for (const task of this.tasks.splice(0)) task();
        this.takeLane();
        for (const answer of this.answers.splice(0)) answer();
        for (const producer of producersOf(mover)) producer.housekeep(this.clock);
        mover.housekeep(this.clock);
      }
    } catch (error) {
      if (!(error instanceof LifeEnds)) throw error;
    }
    // What is in the lane is the broker's, whoever dies.
    this.takeLane(true);
  }

  private takeLane(afterwards = false): void {
    for (const { bytes, expecting } of this.lane.splice(0)) {
      const words = new Int32Array(bytes.buffer);
      const view = new BatchView().span(bytes, words, 0, bytes.length);
      view.next();
      const stored = this.partitionOf(view.partition);
      const { code, offset } = stored?.take(view) ?? { code: 'unknown-topic' as const, offset: -1 };
      if (!afterwards) {
        this.step();
        this.answers.push(() => expecting?.answered(CODES[code].number, offset));
      }
    }
  }
}

function producersOf(mover: Mover): FixedProducer[] {
  const { targets } = mover as unknown as { targets: Map<string, { publisher: FixedProducer }> };
  return [...targets.values()].map(({ publisher }) => publisher);
}
