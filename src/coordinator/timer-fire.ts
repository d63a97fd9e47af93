// Fires timers: takes what is due from the loaded buckets, reads it, and has it moved to its topics, exactly once.
//
// A topic that takes no more (its ring is full, its disk) holds up nobody else: what is due for it is put aside, as
// numbers, until it has room again.
import {
  BATCH_BORN_FIRST,
  BATCH_COUNT,
  BATCH_HEADER_BYTES,
  BATCH_MAGIC,
  BATCH_SIZE,
  MAGIC_WORD,
} from '../../native-layout/batch.ts';
import { type CodeName, RingmqError } from '../base/codes.ts';
import { EnvelopeView } from '../delay/envelope.ts';
import { fromRuns, toRuns } from '../delay/ordinal-set.ts';
import { putInt64 } from '../record/int64.ts';
import type { Journal } from './journal.ts';
import type { Mover } from './mover.ts';
import type { MoveSource } from './open-move.ts';
import type { TimerBucket } from './timer-bucket.ts';
import type { TimerBuckets } from './timer-buckets.ts';
import { TIMERS_PART, type TimerRecord } from './timer-records.ts';

const KIND = 'timer';
/** Messages taken in one turn. */
const TURN_MESSAGES = 4_096;
/**
 * Bytes under way to all topics. Each topic may have as many as are free (dynamic thresholds, Choudhury and Hahne
 * 1998): one alone gets half, and however many are stuck, there is room for those that are not.
 */
const UNDER_WAY_BYTES = 16 * 1024 * 1024;
/** What was put aside after a refusal that passes is tried again so much later. */
const AGAIN_MS = 200;

/** The coordinator is being stopped, or its disk has failed: the next one fires what is not fired. */
const PASSING: ReadonlySet<CodeName> = new Set(['closed', 'store-failed']);

/** Of a move: some messages of one bucket, by number, as runs [from, to) in the order in which they fire. */
export interface TimerSource extends MoveSource {
  readonly kind: typeof KIND;
  readonly topic: string;
  readonly bucket: number;
  readonly runs: readonly number[];
}

/** Some messages of one bucket. */
interface Lot {
  readonly bucket: TimerBucket;
  readonly ordinals: number[];
}

/** A topic that messages go to. */
class Target {
  readonly topic: string;
  /** Bytes under way. */
  bytes = 0;
  notBefore = 0;
  aside: Lot[] = [];

  constructor(topic: string) {
    this.topic = topic;
  }
}

export interface TimerFireHost {
  readonly buckets: TimerBuckets;
  readonly mover: Pick<Mover, 'own' | 'move' | 'hasRoom' | 'room'>;
  readonly journal: Journal;
  readonly clock: () => number;
  readonly warn: (text: string) => void;
  /** Resolves when everything that a predecessor left has been read. */
  ready(): Promise<unknown>;
  /** There is more to do now. */
  again(): void;
}

export class TimerFire {
  private readonly host: TimerFireHost;
  private readonly targets = new Map<string, Target>();
  private readonly due = new Uint32Array(TURN_MESSAGES);
  private readonly envelope = new EnvelopeView();
  /** Messages that could not be delivered, by topic and reason, since the last warning. */
  private readonly dropped = new Map<string, number>();
  private waits = false;
  /** Under way, to all topics. */
  private bytes = 0;

  constructor(host: TimerFireHost) {
    this.host = host;
    const bucketOf = (source: TimerSource): TimerBucket => this.host.buckets.at(source.bucket);
    host.mover.own<TimerSource>(KIND, {
      resolve: (source) => this.resolve(source),
      intended: (source) => {
        bucketOf(source).over.addPairs(source.runs);
        bucketOf(source).moving++;
      },
      done: (source) => void bucketOf(source).moving--,
      failed: (source, code, replaying) => {
        bucketOf(source).moving--;
        if (!replaying) this.drop(`${source.topic}: ${code}`, fromRuns(source.runs).length);
      },
    });
  }

  /** Fires what is due, in bounded amounts. True if more is due now. Throws what the disk throws. */
  run(): boolean {
    const now = this.host.clock();
    this.fireAside(now);
    let room = TURN_MESSAGES;
    for (const bucket of this.host.buckets.ready) {
      if (!this.hasRoom()) return false;
      const slot = now - bucket.start;
      if (slot < 0 || bucket.wheel === undefined || !bucket.isLoaded) break;
      const taken = bucket.wheel.takeDue(slot, this.due, room);
      if (taken === 0) continue;
      room -= taken;
      this.fire(bucket, Array.from(this.due.subarray(0, taken)), now);
      if (room === 0) return true;
    }
    return false;
  }

  /** True if messages of some topics wait for room, or for a refusal to pass. */
  get hasAside(): boolean {
    for (const { aside } of this.targets.values()) if (aside.length > 0) return true;
    return false;
  }

  /** Says what was dropped: once for many messages. */
  report(): void {
    for (const [why, count] of this.dropped) this.host.warn(`${count} scheduled messages were dropped: ${why}`);
    this.dropped.clear();
    for (const target of this.targets.values()) {
      if (target.bytes === 0 && target.aside.length === 0) this.targets.delete(target.topic);
    }
  }

  private hasRoom(): boolean {
    const { mover } = this.host;
    if (mover.hasRoom) return true;
    if (!this.waits) {
      this.waits = true;
      void mover.room().then(() => {
        this.waits = false;
        this.host.again();
      });
    }
    return false;
  }

  /** Bytes that may still be put under way to a topic. One that has none may always have one message. */
  private roomOf({ bytes }: Target): number {
    const free = UNDER_WAY_BYTES - this.bytes;
    return bytes === 0 ? Math.max(1, free) : free - bytes;
  }

  private fireAside(now: number): void {
    for (const target of this.targets.values()) {
      const { aside } = target;
      if (aside.length === 0 || now < target.notBefore || this.roomOf(target) <= 0 || !this.hasRoom()) continue;
      target.aside = [];
      // The oldest ones, until there is no room: what is left is put aside again, in order.
      for (const { bucket, ordinals } of aside) {
        let next = 0;
        while (next < ordinals.length && target.aside.length === 0 && this.roomOf(target) > 0) {
          const some = asManyAs(bucket, ordinals, next, this.roomOf(target));
          next += some.length;
          this.fire(bucket, some, now);
        }
        if (next < ordinals.length) target.aside.push({ bucket, ordinals: ordinals.slice(next) });
      }
    }
  }

  private fire(bucket: TimerBucket, taken: readonly number[], now: number): void {
    const ordinals = taken.filter((ordinal) => !bucket.over.has(ordinal));
    if (ordinals.length === 0) return;
    for (const [topic, some] of this.byTopic(bucket, ordinals, now)) {
      this.move(bucket, topic, some);
    }
  }

  /** Reads the messages; those of topics without room are put aside. */
  private byTopic(bucket: TimerBucket, ordinals: readonly number[], now: number): Map<string, Payload> {
    const { bytes, words, places } = bucket.read(ordinals);
    const { envelope } = this;
    const payloads = new Map<string, Payload>();
    const damaged: number[] = [];
    let topic = '';
    let target: Target | undefined;
    let payload: Payload | undefined;
    let blocked: Lot | undefined;
    for (let i = 0; i < ordinals.length; i++) {
      const length = bucket.wheel?.length(ordinals[i]) ?? 0;
      if (places[i] < 0 || !envelope.open(bytes, words, places[i], length)) {
        damaged.push(ordinals[i]);
        continue;
      }
      // Most follow one that goes to the same topic.
      const next = envelope.topic;
      if (target === undefined || next !== topic) {
        topic = next;
        target = this.target(topic);
        payload = payloads.get(topic);
        blocked = undefined;
      }
      if (blocked === undefined && (now < target.notBefore || target.aside.length > 0 || this.roomOf(target) <= 0)) {
        blocked = { bucket, ordinals: [] };
        target.aside.push(blocked);
      }
      if (blocked) {
        blocked.ordinals.push(ordinals[i]);
        continue;
      }
      if (payload === undefined) {
        payload = new Payload(bytes, now);
        payloads.set(topic, payload);
      }
      this.underWay(target, envelope.recordLength);
      payload.add(ordinals[i], envelope.recordAt, envelope.recordLength);
    }
    if (damaged.length > 0) this.giveUp(bucket, damaged, `${bucket.name} is damaged`);
    return payloads;
  }

  private underWay(target: Target, bytes: number): void {
    target.bytes += bytes;
    this.bytes += bytes;
  }

  private move(bucket: TimerBucket, topic: string, some: Payload): void {
    const target = this.target(topic);
    const { ordinals, recordBytes } = some;
    bucket.firing.add(ordinals);
    const source: TimerSource = { kind: KIND, topic, bucket: bucket.id, runs: toRuns(ordinals) };
    this.host.mover
      .move({ topic, source, payload: some.payload() })
      .catch((error: unknown) => this.refused(bucket, target, ordinals, error))
      .finally(() => {
        bucket.firing.delete(ordinals);
        this.underWay(target, -recordBytes);
        if (this.hasAside) this.host.again();
      });
  }

  private refused(bucket: TimerBucket, target: Target, ordinals: readonly number[], error: unknown): void {
    // After intended(): what became of it was told to failed(), or a successor goes on with it.
    if (bucket.over.has(ordinals[0])) return;
    const { code, retryable } = error instanceof RingmqError ? error : new RingmqError('internal', String(error));
    if (retryable || PASSING.has(code)) {
      target.notBefore = this.host.clock() + AGAIN_MS;
      target.aside.unshift({ bucket, ordinals: [...ordinals] });
    } else if (code === 'message-too-large' && ordinals.length > 1) {
      // One of them is: the others are delivered.
      const middle = ordinals.length >> 1;
      const halves = [ordinals.slice(0, middle), ordinals.slice(middle)];
      target.aside.unshift(...halves.map((half) => ({ bucket, ordinals: half })));
    } else this.giveUp(bucket, ordinals, `${target.topic}: ${code}`);
  }

  /** These are never delivered. */
  private giveUp(bucket: TimerBucket, ordinals: readonly number[], why: string): void {
    try {
      const pairs = toRuns(Uint32Array.from(ordinals).sort());
      this.host.journal.append(TIMERS_PART, { over: bucket.id, pairs } satisfies TimerRecord);
    } catch {
      // A successor drops them again.
    }
    for (const ordinal of ordinals) bucket.over.add(ordinal);
    this.drop(why, ordinals.length);
  }

  private drop(why: string, count: number): void {
    this.dropped.set(why, (this.dropped.get(why) ?? 0) + count);
  }

  /** The records of a move that a predecessor began. */
  private async resolve({ bucket: id, runs }: TimerSource): Promise<Uint8Array> {
    await this.host.ready();
    const bucket = this.host.buckets.at(id);
    bucket.write();
    while (!bucket.load(Number.POSITIVE_INFINITY));
    const ordinals = fromRuns(runs);
    const known = bucket.wheel?.count ?? 0;
    if (ordinals.some((ordinal) => ordinal >= known)) throw lostFile(bucket);
    const { bytes, words, places } = bucket.read(ordinals);
    const payload = new Payload(bytes, this.host.clock());
    ordinals.forEach((ordinal, i) => {
      const length = bucket.wheel?.length(ordinal) ?? 0;
      if (!this.envelope.open(bytes, words, places[i], length)) throw lostFile(bucket);
      payload.add(ordinal, this.envelope.recordAt, this.envelope.recordLength);
    });
    return payload.payload();
  }

  private target(topic: string): Target {
    let target = this.targets.get(topic);
    if (target === undefined) {
      target = new Target(topic);
      this.targets.set(topic, target);
    }
    return target;
  }
}

/** The first of these from `from` on that go into `bytes`; one at least. */
function asManyAs(bucket: TimerBucket, ordinals: readonly number[], from: number, bytes: number): readonly number[] {
  let to = from;
  for (let left = bytes; to < ordinals.length && to - from < TURN_MESSAGES && left > 0; to++) {
    left -= bucket.wheel?.length(ordinals[to]) ?? 0;
  }
  return ordinals.slice(from, to);
}

function lostFile(bucket: TimerBucket): RingmqError {
  return new RingmqError('log-damaged', `${bucket.name} does not have the messages that were to be delivered`);
}

/** Records that become one batch. */
class Payload {
  readonly ordinals: number[] = [];
  private readonly source: Uint8Array;
  private readonly bornAt: number;
  private readonly pieces: number[] = [];
  /** Bytes of its records. */
  recordBytes = 0;

  constructor(source: Uint8Array, bornAt: number) {
    this.source = source;
    this.bornAt = bornAt;
  }

  /** HOT */
  add(ordinal: number, at: number, length: number): void {
    this.ordinals.push(ordinal);
    this.pieces.push(at, length);
    this.recordBytes += length;
  }

  /** A batch of them: the mover numbers the records and cuts them by partition. */
  payload(): Uint8Array {
    const bytes = new Uint8Array(BATCH_HEADER_BYTES + this.recordBytes);
    const words = new Int32Array(bytes.buffer);
    words[BATCH_SIZE >> 2] = bytes.length;
    words[BATCH_MAGIC >> 2] = MAGIC_WORD;
    words[BATCH_COUNT >> 2] = this.ordinals.length;
    putInt64(words, BATCH_BORN_FIRST >> 2, this.bornAt);
    let to = BATCH_HEADER_BYTES;
    for (let i = 0; i < this.pieces.length; i += 2) {
      const at = this.pieces[i];
      bytes.set(this.source.subarray(at, at + this.pieces[i + 1]), to);
      to += this.pieces[i + 1];
    }
    return bytes;
  }
}
