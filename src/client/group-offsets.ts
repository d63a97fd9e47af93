// The positions of a consumer's group, which the broker keeps: asked for at the start, committed every now and then.
import { type CodeName, RingmqError } from '../base/codes.ts';
import { isGroupName } from '../base/units.ts';
import type { Command, PartitionPosition } from '../wire/commands.ts';

const COMMIT_MS = 1_000;
const COMMIT_MIN_MS = 10;
/** Positions in one command. */
const POSITIONS_MAX = 1_024;
/** A crash took back what the consumer had seen: the gap that says so is on its way, and the next commit is right. */
const TAKEN_BACK: CodeName = 'offset-out-of-range';
/** A commit that is not answered for so long stops the next one no more. */
const ANSWER_MS = 3_000;
/** Nobody is left who could keep them. */
const OVER: ReadonlySet<CodeName> = new Set(['closed', 'shutting-down', 'unknown-topic']);

/** Asks the broker. Rejects with what it refuses with. */
export type Ask = (command: Command) => Promise<Command>;

/** What is known of a consumer here. */
interface GroupConsumer {
  readonly topic: string;
  readonly options: { readonly group?: string; readonly commitMs?: number };
  /** Tells what goes wrong in the background. */
  tell(error: Error): void;
}

export class GroupOffsets {
  readonly name: string;
  readonly topic: string;
  private readonly commitMs: number;
  private readonly ask: Ask;
  private readonly failed: (error: Error) => void;
  /** What the broker has, by partition number. */
  private readonly committed = new Map<number, PartitionPosition>();
  /** What it was sent: in a blocking loop no promise settles, so nobody there learns what it has. */
  private readonly sent = new Map<number, PartitionPosition>();
  private commitAt = 0;
  private underWay = 0;
  private sentAt = 0;
  private lastFailure = '';

  /** Of a consumer that has a group. */
  static of(consumer: GroupConsumer, ask: Ask): GroupOffsets | undefined {
    const { topic, options } = consumer;
    if (options.group === undefined) return undefined;
    return new GroupOffsets(options.group, topic, options.commitMs, ask, (error) => consumer.tell(error));
  }

  /** Throws `illegal-group` or `illegal-argument`. */
  constructor(name: string, topic: string, commitMs = COMMIT_MS, ask: Ask, failed: (error: Error) => void) {
    checkGroup(name);
    if (!(commitMs >= COMMIT_MIN_MS)) {
      throw new RingmqError('illegal-argument', `commitMs is ${commitMs}: ${COMMIT_MIN_MS} or more`);
    }
    this.name = name;
    this.topic = topic;
    this.commitMs = commitMs;
    this.ask = ask;
    this.failed = failed;
  }

  /** What the broker has; empty for a group that is new to the topic. */
  async fetch(): Promise<readonly PartitionPosition[]> {
    const positions = await fetchOffsets(this.ask, this.name, this.topic).catch((error: unknown) => {
      // The topic is about to be made on first use: nobody was there yet.
      if (error instanceof RingmqError && error.code === 'unknown-topic') return [];
      throw error;
    });
    for (const one of positions) {
      this.committed.set(one.partition, one);
      this.sent.set(one.partition, one);
    }
    return positions;
  }

  /** Commits what is new, if it is time to. */
  tick(nowMs: number, positions: () => readonly PartitionPosition[]): void {
    if (this.commitMs === Number.POSITIVE_INFINITY) return;
    if (nowMs < this.commitAt || (this.underWay > 0 && nowMs - this.sentAt < ANSWER_MS)) return;
    this.commitAt = nowMs + this.commitMs;
    const news = positions().filter((one) => !same(one, this.sent.get(one.partition)));
    if (news.length === 0) return;
    this.sentAt = nowMs;
    this.send(news).then(
      () => {
        this.lastFailure = '';
      },
      (error: unknown) => {
        for (const one of news) this.sent.delete(one.partition);
        if (!(error instanceof RingmqError && (error.retryable || error.code === TAKEN_BACK))) this.tell(error);
      },
    );
  }

  /** Settles when the broker keeps these positions. */
  async commit(positions: readonly PartitionPosition[]): Promise<void> {
    await this.send(positions.filter((one) => !same(one, this.committed.get(one.partition))));
  }

  private async send(news: readonly PartitionPosition[]): Promise<void> {
    const { name: group, topic } = this;
    this.underWay++;
    try {
      for (let i = 0; i < news.length; i += POSITIONS_MAX) {
        const some = news.slice(i, i + POSITIONS_MAX);
        for (const one of some) this.sent.set(one.partition, one);
        await this.ask({ type: 'commit-offsets', group, topic, positions: some });
        for (const one of some) this.committed.set(one.partition, one);
      }
    } finally {
      this.underWay--;
    }
  }

  /** The last commit. What goes wrong is told, not thrown: the consumer closes all the same. */
  finish(positions: readonly PartitionPosition[]): Promise<void> {
    return this.commit(positions).catch((error: unknown) => this.tell(error));
  }

  /** The same failure every second is told once. */
  private tell(thrown: unknown): void {
    const error = thrown instanceof Error ? thrown : new Error(String(thrown));
    if (error instanceof RingmqError && OVER.has(error.code)) return;
    if (error.message === this.lastFailure) return;
    this.lastFailure = error.message;
    this.failed(error);
  }
}

/** The positions that the broker keeps for a group. */
export async function fetchOffsets(ask: Ask, group: string, topic: string): Promise<readonly PartitionPosition[]> {
  checkGroup(group);
  const reply = await ask({ type: 'offsets-request', group, topic });
  if (reply.type !== 'offsets-reply') throw new RingmqError('internal', `unexpected ${reply.type}`);
  return reply.positions;
}

function checkGroup(group: string): void {
  if (!isGroupName(group)) {
    const text = 'names have 1 to 255 characters of A-Z a-z 0-9 % | . _ -';
    throw new RingmqError('illegal-group', `group ${JSON.stringify(group)}: ${text}`);
  }
}

function same(a: PartitionPosition, b: PartitionPosition | undefined): boolean {
  return b !== undefined && a.offset === b.offset && a.epoch === b.epoch;
}
