// The positions of a consumer's group, which the broker keeps: asked for at the start, committed every now and then.
import { RingmqError } from '../base/codes.ts';
import type { Command, PartitionPosition } from '../wire/commands.ts';

const GROUP_PATTERN = /^[%|A-Za-z0-9._-]{1,255}$/;
const COMMIT_MS = 1_000;
const COMMIT_MIN_MS = 10;
/** Positions in one command. */
const POSITIONS_MAX = 1_024;

/** Asks the broker. Rejects with what it refuses with. */
export type Ask = (command: Command) => Promise<Command>;

export class GroupOffsets {
  readonly name: string;
  readonly topic: string;
  private readonly commitMs: number;
  private readonly ask: Ask;
  private readonly failed: (error: Error) => void;
  /** What the broker has, by partition number. */
  private readonly committed = new Map<number, PartitionPosition>();
  private commitAt = 0;
  private committing = false;
  private lastFailure = '';

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
    const positions = await fetchOffsets(this.ask, this.name, this.topic);
    for (const one of positions) this.committed.set(one.partition, one);
    return positions;
  }

  /** Commits what is new, if it is time to. */
  tick(nowMs: number, positions: () => readonly PartitionPosition[]): void {
    if (nowMs < this.commitAt || this.committing) return;
    this.commitAt = nowMs + this.commitMs;
    this.committing = true;
    this.commit(positions())
      .then(
        () => {
          this.lastFailure = '';
        },
        (error: unknown) => this.tell(error),
      )
      .finally(() => {
        this.committing = false;
      });
  }

  /** Settles when the broker keeps these positions. */
  async commit(positions: readonly PartitionPosition[]): Promise<void> {
    const { name: group, topic } = this;
    const news = positions.filter((one) => !same(one, this.committed.get(one.partition)));
    for (let i = 0; i < news.length; i += POSITIONS_MAX) {
      const some = news.slice(i, i + POSITIONS_MAX);
      await this.ask({ type: 'commit-offsets', group, topic, positions: some });
      for (const one of some) this.committed.set(one.partition, one);
    }
  }

  /** The last commit. What goes wrong is told, not thrown: the consumer closes all the same. */
  finish(positions: readonly PartitionPosition[]): Promise<void> {
    return this.commit(positions).catch((error: unknown) => this.tell(error));
  }

  /** The same failure every second is told once; what may be over soon, not at all: the next commit has it all. */
  private tell(thrown: unknown): void {
    const error = thrown instanceof Error ? thrown : new Error(String(thrown));
    if (error instanceof RingmqError && error.retryable) return;
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
  if (!GROUP_PATTERN.test(group)) throw new RingmqError('illegal-group', `group ${JSON.stringify(group)} is no name`);
}

function same(a: PartitionPosition, b: PartitionPosition | undefined): boolean {
  return b !== undefined && a.offset === b.offset && a.epoch === b.epoch;
}
