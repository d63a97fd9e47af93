// Publishes batches whose partition, producer id and sequence are chosen by the caller, and insists until there is an
// answer for good. Who has written down what it is about to publish may publish it again after a crash: the broker
// recognises what it has (partition/dedupe.ts). In process only.
import {
  BATCH_BASE_SEQUENCE,
  BATCH_PARTITION,
  BATCH_PRODUCER_ID,
  REQUEST_ACK,
  REQUEST_EPOCH,
  REQUEST_FLAGS,
  REQUEST_ID,
  REQUEST_INSISTS,
  REQUEST_LAZY,
} from '../../native-layout/batch.ts';
import { CODES, type CodeName, codeName, RingmqError } from '../base/codes.ts';
import { putInt64 } from '../record/int64.ts';
import type { TopicRoute } from '../wire/commands.ts';
import type { Outlet } from './outlet.ts';
import type { HostedProducer, ProducerHost } from './producer.ts';
import { ackOn } from './producer-options.ts';

/** One whole batch in memory of its own. The request's words of the header are filled in here. */
export interface FixedBatch {
  readonly bytes: Uint8Array;
  readonly count: number;
  /** Number of the partition in its topic. */
  readonly partition: number;
  readonly producerId: number;
  readonly sequence: number;
  /** Nobody waits for the disk: see REQUEST_LAZY. Default false. */
  readonly lazy?: boolean;
}

/**
 * The answer for good: `ok` and `duplicate` with the offset of the first record (-1 if that is not known any more), or
 * why not. `out-of-order`: the batch was not taken, and will not be under this identity.
 */
export type FixedAnswer = (code: CodeName, baseOffset: number) => void;

/** Batches of one identity under way. The broker remembers the offsets of as many. */
const OUT_MAX = 16;
const BACKOFF_FIRST_MS = 5;
const BACKOFF_MAX_MS = 1_000;
/** Nothing that is asked again changes these. All other refusals pass, or a person ends them. */
const FINAL: ReadonlySet<CodeName> = new Set([
  'message-too-large',
  'malformed-batch',
  'unknown-topic',
  'unknown-partition',
  'direct-only',
  'ack-unsupported',
  'closed',
  'shutting-down',
]);

/** A batch on its way. */
class Travelling {
  readonly batch: FixedBatch;
  readonly words: Int32Array;
  readonly answer: FixedAnswer;
  out = false;
  request = 0;

  constructor(batch: FixedBatch, answer: FixedAnswer) {
    this.batch = batch;
    this.words = new Int32Array(batch.bytes.buffer, batch.bytes.byteOffset, batch.bytes.length >> 2);
    this.answer = answer;
  }
}

/** The batches of one producer id for one partition, in order. */
class IdentityLine {
  readonly queue: Travelling[] = [];
  out = 0;
  refusals = 0;
  /** One was refused: when all are answered and this time has come, it begins again with the first one. */
  resendAt = -1;
}

export class FixedProducer implements HostedProducer {
  readonly topic: string;
  private readonly host: ProducerHost;
  private readonly outlet: Outlet;
  private readonly lines = new Map<string, IdentityLine>();
  private known: TopicRoute | undefined;
  private asking: Promise<TopicRoute> | undefined;
  private askAt = 0;
  private ended: RingmqError | undefined;

  constructor(host: ProducerHost, topic: string) {
    this.host = host;
    this.outlet = host.outlet;
    this.topic = topic;
  }

  /** The topic's route. Rejects with `unknown-topic`; the topic is not made. */
  async route(): Promise<TopicRoute> {
    if (this.ended) throw this.ended;
    return this.known ?? this.askRoute();
  }

  /** Batches of one partition and producer id go out in the order of the calls; sequences follow each other. */
  publish(batch: FixedBatch, answer: FixedAnswer): void {
    if (this.ended) {
      answer(this.ended.code, -1);
      return;
    }
    const name = nameOf(batch);
    let line = this.lines.get(name);
    if (line === undefined) {
      line = new IdentityLine();
      this.lines.set(name, line);
    }
    line.queue.push(new Travelling(batch, answer));
    this.pump(line);
  }

  get idle(): boolean {
    return this.lines.size === 0;
  }

  flushNow(): void {
    for (const line of this.lines.values()) this.pump(line);
  }

  onRoom(): void {
    this.flushNow();
  }

  housekeep(nowMs: number): void {
    if (this.lines.size === 0) return;
    if (this.known === undefined && nowMs >= this.askAt) this.askRoute().catch(() => {});
    this.flushNow();
  }

  abort(error: RingmqError): void {
    this.ended = error;
    this.failAll(error.code);
  }

  updateRoute(route: TopicRoute | undefined): void {
    this.known = route;
    if (route === undefined) this.failAll('unknown-topic');
    else this.flushNow();
  }

  async close(): Promise<void> {
    if (this.ended) return;
    this.abort(new RingmqError('closed', 'the producer is closed'));
    this.host.closed(this);
  }

  private askRoute(): Promise<TopicRoute> {
    this.askAt = this.outlet.now() + BACKOFF_MAX_MS;
    this.asking ??= this.outlet
      .route(this.topic, false)
      .then(
        (route) => {
          this.updateRoute(route);
          return route;
        },
        (error: unknown) => {
          if (error instanceof RingmqError && FINAL.has(error.code)) this.failAll(error.code);
          throw error;
        },
      )
      .finally(() => {
        this.asking = undefined;
      });
    return this.asking;
  }

  /** Sends what may go, in order. */
  private pump(line: IdentityLine): void {
    if (line.resendAt >= 0) {
      if (line.out > 0 || this.outlet.now() < line.resendAt) return;
      line.resendAt = -1;
    }
    const { known } = this;
    if (known === undefined) {
      if (this.outlet.now() >= this.askAt) this.askRoute().catch(() => {});
      return;
    }
    for (let i = line.out; i < line.queue.length && line.out < OUT_MAX; i++) {
      const one = line.queue[i];
      if (one.out) continue;
      if (!this.trySend(line, one, known)) return;
      // It was answered at once: the line is another one now.
      if (!one.out) return;
    }
  }

  private trySend(line: IdentityLine, one: Travelling, known: TopicRoute): boolean {
    const { batch } = one;
    const route = known.partitions.find(({ number }) => number === batch.partition);
    if (route === undefined) {
      this.lines.delete(nameOf(batch));
      this.failLine(line, 'unknown-partition');
      return false;
    }
    if (!this.outlet.hasRoom(route.owner, batch.bytes.length)) {
      this.host.stalled(this);
      return false;
    }
    one.request = this.outlet.expect({
      answered: (status, baseOffset) => this.answered(line, one, status, baseOffset),
      lost: () => this.refused(line, one, 'connection-lost'),
    });
    const { words } = one;
    words[BATCH_PARTITION >> 2] = route.id;
    words[REQUEST_EPOCH >> 2] = route.epoch;
    words[REQUEST_ID >> 2] = one.request;
    words[REQUEST_ACK >> 2] = ackOn(known, undefined);
    // Not waiting: a full ring answers `busy` (or `ring-full`) and holds up nobody else's batches in the lane.
    words[REQUEST_FLAGS >> 2] = batch.lazy ? REQUEST_INSISTS | REQUEST_LAZY : REQUEST_INSISTS;
    words[(REQUEST_FLAGS >> 2) + 1] = 0;
    putInt64(words, BATCH_PRODUCER_ID >> 2, batch.producerId);
    words[BATCH_BASE_SEQUENCE >> 2] = batch.sequence;
    one.out = true;
    line.out++;
    if (this.outlet.tryPut(route.owner, batch.bytes, batch.bytes.length)) {
      this.outlet.push(route.owner);
      return true;
    }
    this.outlet.forget(one.request);
    one.out = false;
    line.out--;
    this.host.stalled(this);
    return false;
  }

  private answered(line: IdentityLine, one: Travelling, status: number, baseOffset: number): void {
    if (status === CODES.ok.number || status === CODES.duplicate.number) {
      line.refusals = 0;
      this.settle(line, one, codeName(status), baseOffset);
    } else this.refused(line, one, codeName(status));
  }

  private refused(line: IdentityLine, one: Travelling, code: CodeName): void {
    const isFirst = line.queue[0] === one;
    // Nothing before it is under way: the broker waits for a sequence that will not come.
    if (FINAL.has(code) || (code === 'out-of-order' && isFirst && line.resendAt < 0)) {
      this.settle(line, one, code, -1);
      return;
    }
    one.out = false;
    line.out--;
    if (CODES[code].advice === 'refresh-route') {
      this.known = undefined;
      this.askAt = 0;
    }
    if (line.resendAt < 0) {
      line.refusals++;
      const backoff = Math.min(BACKOFF_FIRST_MS * 2 ** Math.min(line.refusals - 1, 10), BACKOFF_MAX_MS);
      line.resendAt = this.outlet.now() + backoff;
    }
  }

  private settle(line: IdentityLine, one: Travelling, code: CodeName, baseOffset: number): void {
    const at = line.queue.indexOf(one);
    if (at < 0) return;
    line.queue.splice(at, 1);
    if (one.out) line.out--;
    one.out = false;
    if (line.queue.length === 0) this.lines.delete(nameOf(one.batch));
    one.answer(code, baseOffset);
    if (line.queue.length > 0) this.pump(line);
  }

  private failAll(code: CodeName): void {
    const lines = [...this.lines.values()];
    this.lines.clear();
    for (const line of lines) this.failLine(line, code);
  }

  /** The line is no more: others of its identity begin another one. */
  private failLine(line: IdentityLine, code: CodeName): void {
    for (const one of line.queue.splice(0)) {
      this.outlet.forget(one.request);
      one.answer(code, -1);
    }
  }
}

function nameOf({ partition, producerId }: FixedBatch): string {
  return `${partition}/${producerId}`;
}
