// A broker and a coordinator for group consumers, as small as can be: partitions are arrays, real inner consumers read
// them, and the test says who holds what.
import { BATCH_BASE_OFFSET } from '../../native-layout/batch.ts';
import { RingmqError } from '../../src/base/codes.ts';
import type { ConsumerOptions } from '../../src/client/connection.ts';
import { RingConsumer, STOP } from '../../src/client/consumer.ts';
import { GroupConsumer, type GroupConsumerHost } from '../../src/client/group-consumer.ts';
import { Progress } from '../../src/group/progress.ts';
import { BatchBuilder, type RecordExtras } from '../../src/record/batch-builder.ts';
import { BatchView } from '../../src/record/batch-view.ts';
import { putInt64 } from '../../src/record/int64.ts';
import type { PartitionPosition } from '../../src/wire/commands.ts';
import type {
  Call,
  GroupAssignment,
  GroupCommit,
  GroupSettings,
  GroupSync,
  QueueRef,
  SendBack,
} from '../../src/wire/services.ts';
import { until } from './until.ts';

interface Stored extends RecordExtras {
  readonly body: string;
}

interface Held {
  readonly params: GroupSync;
  readonly resolve: (assignment: GroupAssignment) => void;
  readonly reject: (error: Error) => void;
}

const nameOf = ({ topic, partition }: QueueRef): string => `${topic}/${partition}`;

export class FakeGroup {
  readonly errors: string[] = [];
  readonly commits: GroupCommit[] = [];
  readonly returned: SendBack[] = [];
  readonly left: string[] = [];
  readonly opened: { topic: string; positions: readonly PartitionPosition[] }[] = [];
  readonly progress = new Map<string, Progress>();
  settings: GroupSettings = { retryDelaysMs: [1], attemptsMax: 3 };
  /** What calls are refused with at present, by method. */
  readonly refusing = new Map<string, RingmqError>();
  sessionMs = 10_000;
  private readonly logs = new Map<string, Stored[]>();
  private readonly owners = new Map<string, string>();
  private readonly held = new Map<string, Held>();
  private readonly feeds = new Set<() => void>();
  private generation = 1;
  batchMax = 4;

  /** Stores messages; consumers get them at once. */
  send(topic: string, partition: number, ...messages: (string | Stored)[]): void {
    const log = this.logOf(`${topic}/${partition}`);
    log.push(...messages.map((one) => (typeof one === 'string' ? { body: one } : one)));
    for (const feed of [...this.feeds]) feed();
  }

  /** These queues belong to the member, and no others. */
  assign(member: string, ...queues: string[]): void {
    for (const [queue, owner] of [...this.owners]) if (owner === member) this.owners.delete(queue);
    for (const queue of queues) this.owners.set(queue, member);
    this.generation++;
    const held = this.held.get(member);
    if (held) this.answer(member, held);
  }

  /** The group goes on without the member. */
  expel(member: string): void {
    for (const [queue, owner] of [...this.owners]) if (owner === member) this.owners.delete(queue);
    this.held.get(member)?.reject(new RingmqError('stale-generation'));
    this.held.delete(member);
    this.generation += 1_000;
  }

  /** Does not answer the call that the member waits in. */
  forgetCall(member: string): void {
    this.held.delete(member);
  }

  /** Progress as text: floor, ranges above it, attempts. */
  at(queue: string): string {
    const { offset, acked, attempts } = this.progressOf(queue).wire();
    return [offset, acked.join(','), attempts.join(',')].join('|');
  }

  consumer<T = Uint8Array>(topic: string, options: ConsumerOptions<T>, host: Partial<GroupConsumerHost<T>> = {}) {
    return new GroupConsumer<T>(
      topic,
      { group: 'g', member: 'm', commitMs: 10, ...options },
      {
        call: this.call,
        client: 'test',
        route: async () => ({ topic, topicId: 7 }) as never,
        open: (name, inner) => this.open(name, inner),
        openPool: undefined,
        replier: { reply: () => Promise.reject(new RingmqError('illegal-argument')) },
        closed: () => {},
        failed: (error) => this.errors.push(error.message),
        ...host,
      },
    );
  }

  readonly call: Call = async (method, params) => {
    const refusal = this.refusing.get(method);
    if (refusal) throw refusal;
    const result = await this.serve(method, params as never);
    return { result: result as never, payload: new Uint8Array(0) };
  };

  private serve(method: string, params: never): unknown {
    if (method === 'group-sync') return this.sync(params);
    if (method === 'group-commit') return this.commit(params);
    if (method === 'send-back') {
      const one: SendBack = params;
      this.returned.push(one);
      this.progressOf(nameOf(one.queue)).add(one.offset, one.offset + 1);
      return { deadLetter: one.deadLetter || one.attempts >= this.settings.attemptsMax };
    }
    const { member }: { member: string } = params;
    this.left.push(member);
    this.assign(member);
    return {};
  }

  private sync(params: GroupSync): Promise<GroupAssignment> {
    const { member, generation } = params;
    if (generation !== 0 && this.generation - generation >= 1_000) throw new RingmqError('stale-generation');
    return new Promise((resolve, reject) => {
      const held = { params, resolve, reject };
      this.held.set(member, held);
      if (generation !== this.generation || params.waitMs === 0) this.answer(member, held);
    });
  }

  private answer(member: string, { params, resolve }: Held): void {
    this.held.delete(member);
    const owned = new Set(params.owned.map(nameOf));
    const queues = [...this.owners]
      .filter(([, owner]) => owner === member)
      .map(([queue]) => this.assigned(queue, owned));
    resolve({ generation: this.generation, sessionMs: this.sessionMs, settings: this.settings, queues });
  }

  private assigned(queue: string, owned: ReadonlySet<string>) {
    const [topic, partition] = queue.split('/');
    const progress = this.progressOf(queue).wire();
    const nothing = { ...progress, acked: [], attempts: [] };
    return { topic, partition: Number(partition), ...(owned.has(queue) ? nothing : progress) };
  }

  private commit(params: GroupCommit): Record<string, never> {
    for (const one of params.queues) {
      if (this.owners.get(nameOf(one)) === params.member) continue;
      // One that it was told to give up is its own until it syncs without it.
      const held = this.held.get(params.member);
      if (this.owners.has(nameOf(one)) || held === undefined) throw new RingmqError('stale-generation');
    }
    this.commits.push(params);
    for (const one of params.queues) {
      const progress = this.progressOf(nameOf(one));
      if (params.anew) progress.reset(one.epoch, one.offset);
      progress.merge(one);
    }
    return {};
  }

  private progressOf(queue: string): Progress {
    let progress = this.progress.get(queue);
    if (progress === undefined) {
      progress = new Progress(1, 0);
      this.progress.set(queue, progress);
    }
    return progress;
  }

  private logOf(queue: string): Stored[] {
    let log = this.logs.get(queue);
    if (log === undefined) {
      log = [];
      this.logs.set(queue, log);
    }
    return log;
  }

  private open<T>(topic: string, options: ConsumerOptions<T>): RingConsumer<T> {
    const consumer = new RingConsumer<T>(topic, options, (error) => this.errors.push(error.message));
    const asked = consumer.asked;
    this.opened.push({ topic, positions: asked });
    const feed = (): void => {
      for (const { partition } of asked) this.feed(consumer, topic, partition);
    };
    consumer.source = {
      wanted: () => void queueMicrotask(feed),
      close: async () => void this.feeds.delete(feed),
    };
    queueMicrotask(() => {
      if (consumer.closed) return;
      const starts = asked.map(({ partition, epoch, offset }) => ({
        id: partition,
        number: partition,
        epoch,
        offset,
        gap: false,
        gapFrom: 0,
      }));
      this.feeds.add(feed);
      consumer.begin(starts);
      feed();
    });
    return consumer;
  }

  private feed<T>(consumer: RingConsumer<T>, topic: string, partition: number): void {
    const log = this.logOf(`${topic}/${partition}`);
    for (;;) {
      const cursor = consumer.cursor(partition);
      if (cursor === undefined || consumer.full || cursor.expected >= log.length) return;
      const base = cursor.expected;
      const builder = new BatchBuilder(64 * 1024);
      for (const one of log.slice(base, base + this.batchMax))
        builder.tryAdd(new TextEncoder().encode(one.body), one, 1_700_000_000_000);
      const stamp = { request: 0, ack: 1, requestFlags: 0, producerId: 0, baseSequence: 0, checksum: false };
      builder.close({ partition, epoch: cursor.epoch, ...stamp });
      putInt64(builder.words, BATCH_BASE_OFFSET >> 2, base);
      const view = new BatchView().span(builder.bytes, builder.words, 0, builder.length);
      view.next();
      if (consumer.deliver(view, cursor) === STOP) return;
    }
  }
}

/** Settles when everything before an offset is committed. */
export function acknowledged(group: FakeGroup, queue: string, floor: number): Promise<void> {
  return until(() => group.at(queue).startsWith(`${floor}|`), `${queue} is acknowledged up to ${floor}`);
}

/** A member `m` that holds t/0, with these messages in it. */
export async function holding(messages: (string | { body: string; key?: string })[], options: ConsumerOptions) {
  const group = new FakeGroup();
  group.assign('m', 't/0');
  group.send('t', 0, ...messages);
  const consumer = group.consumer('t', { onError: (error) => group.errors.push(error.message), ...options });
  await consumer.ready();
  return { group, consumer };
}

/** A handler's promise that the test settles. */
export function gate(): { promise: Promise<void>; open: () => void; fail: (error: Error) => void } {
  let open: () => void = () => {};
  let fail: (error: Error) => void = () => {};
  const promise = new Promise<void>((resolve, reject) => {
    open = resolve;
    fail = reject;
  });
  return { promise, open, fail };
}
