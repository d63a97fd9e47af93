// An outlet that keeps what is put and answers when it is told to, with a clock that stands still.
import {
  BATCH_BASE_SEQUENCE,
  BATCH_COUNT,
  BATCH_PARTITION,
  BATCH_PRODUCER_ID,
  REQUEST_ACK,
  REQUEST_EPOCH,
  REQUEST_ID,
} from '../../native-layout/batch.ts';
import { type CodeName, codeNumber, RingmqError } from '../../src/base/codes.ts';
import { BatchPool } from '../../src/client/batch-pool.ts';
import type { ProducerOptions } from '../../src/client/connection.ts';
import type { Expecting, Outlet } from '../../src/client/outlet.ts';
import { RingProducer } from '../../src/client/producer.ts';
import { BatchView, RecordView } from '../../src/record/batch-view.ts';
import { getInt64 } from '../../src/record/int64.ts';
import { isRepeat, repeatFloor } from '../../src/record/repeat.ts';
import { validateBatch } from '../../src/record/validate.ts';
import type { TopicRoute } from '../../src/wire/commands.ts';

export interface PutBatch {
  readonly owner: number;
  readonly request: number;
  readonly partition: number;
  readonly epoch: number;
  readonly ack: number;
  readonly producerId: number;
  readonly sequence: number;
  readonly count: number;
  /** Of a batch that is sent again; -1 of others. */
  readonly floor: number;
  readonly texts: readonly string[];
}

export function routeOf(partitions = 1, more: Partial<TopicRoute> = {}): TopicRoute {
  return {
    topic: 't',
    topicId: 1,
    version: 1,
    overflow: 'block',
    ringBytes: 65_536,
    messageMaxBytes: 16_000,
    direct: false,
    durable: false,
    retentionMs: 0,
    retentionBytes: 0,
    partitions: Array.from({ length: partitions }, (_, number) => {
      const history = { oldestOffset: 0, epochs: [] };
      return { id: 10 + number, number, owner: 2, epoch: 1, permission: 6, available: true, nextOffset: 0, ...history };
    }),
    ...more,
  };
}

export class FakeOutlet implements Outlet {
  readonly pool = new BatchPool();
  readonly waits: boolean;
  readonly leavesMemory: boolean;
  /** What was put and not answered, oldest first. */
  readonly put: PutBatch[] = [];
  readonly expecting = new Map<number, Expecting>();
  route$: () => Promise<TopicRoute> = async () => routeOf();
  full = false;
  clock = 1_000_000;
  routesAsked = 0;
  private request = 0;
  private readonly tasks: (() => void)[] = [];

  /** `network`: batches leave memory and may be sent again; else as in process. */
  constructor(network: boolean) {
    this.waits = !network;
    this.leavesMemory = network;
  }

  route(): Promise<TopicRoute> {
    this.routesAsked++;
    return this.route$();
  }
  expect(expecting: Expecting): number {
    this.expecting.set(++this.request, expecting);
    return this.request;
  }
  forget(request: number): void {
    this.expecting.delete(request);
  }
  tryPut(owner: number, bytes: Uint8Array, lengthBytes: number): boolean {
    if (this.full) return false;
    this.put.push(read(owner, bytes.slice(0, lengthBytes), this.leavesMemory));
    return true;
  }
  hasRoom(): boolean {
    return this.leavesMemory || !this.full;
  }
  push(): void {}
  soon(task: () => void): void {
    this.tasks.push(task);
  }
  readonly now = (): number => this.clock;

  /** What the end of an event-loop turn does. */
  turn(): void {
    for (const task of this.tasks.splice(0)) task();
  }

  /** Answers the oldest batch. Returns it. */
  answer(code: CodeName = 'ok', baseOffset = 0): PutBatch {
    const batch = this.put.shift();
    if (!batch) throw new Error('nothing to answer');
    const expecting = this.expecting.get(batch.request);
    this.expecting.delete(batch.request);
    expecting?.answered(codeNumber(code), baseOffset);
    return batch;
  }

  /** The connection is lost: nothing that was put is answered. */
  lose(): void {
    this.put.length = 0;
    const lost = [...this.expecting.values()];
    this.expecting.clear();
    for (const one of lost) one.lost();
  }
}

function read(owner: number, bytes: Uint8Array, checked: boolean): PutBatch {
  const words = new Int32Array(bytes.buffer);
  const verdict = checked ? validateBatch(bytes, words, 0, bytes.length) : 'ok';
  if (verdict !== 'ok') throw new RingmqError(verdict);
  const view = new BatchView().span(bytes, words, 0, bytes.length);
  const texts: string[] = [];
  if (view.next()) {
    const record = new RecordView().open(view);
    while (record.next()) texts.push(record.text());
  }
  return {
    owner,
    request: words[REQUEST_ID >> 2],
    partition: words[BATCH_PARTITION >> 2],
    epoch: words[REQUEST_EPOCH >> 2],
    ack: words[REQUEST_ACK >> 2],
    producerId: getInt64(words, BATCH_PRODUCER_ID >> 2),
    sequence: words[BATCH_BASE_SEQUENCE >> 2],
    count: words[BATCH_COUNT >> 2],
    floor: isRepeat(words, 0) ? repeatFloor(words, 0) : -1,
    texts,
  };
}

/** A producer on a fake outlet; `errors` are the failures that nobody waited for. */
export function fakeProducer(network: boolean, options: ProducerOptions = {}, route = routeOf()) {
  const outlet = new FakeOutlet(network);
  outlet.route$ = async () => route;
  const errors: Error[] = [];
  let closed = 0;
  const host = {
    outlet,
    stalled: () => {},
    closed: () => void closed++,
    failed: (error: Error) => void errors.push(error),
  };
  const producer = new RingProducer<Uint8Array | string>(host, 't', options);
  return { outlet, producer, errors, closed: () => closed };
}
