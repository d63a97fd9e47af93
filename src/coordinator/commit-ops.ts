// Commits that producers beside the broker have decided by themselves: op messages in the topic of half messages.
//
// O1 An op message that was acknowledged in time (OP_MS) is the first that decides about its half messages: whoever
//    else would waits until that time is over, and then until everything was read that the topic has.
// O2 It is carried out until it is done, by the next coordinator too, for it stands before what it commits in what that
//    one reads. Only what the end of a move may be ends it: its topic, or its half message, is not there any more.
import { type CodeName, RingmqError } from '../base/codes.ts';
import type { HalfTable, Outcome, PendingHalf } from '../transaction/half-table.ts';
import { CommitGroup, type Publish } from './commit-groups.ts';
import type { HalfTopic } from './half-topic.ts';
import { HALF_GONE, TOPIC_GONE } from './transaction-answers.ts';
import { COMMITTED, DROPPED } from './transaction-records.ts';

export interface OpsHost {
  readonly halves: Pick<HalfTopic, 'reached' | 'caughtUp'>;
  readonly publish: Publish;
  table(): HalfTable;
  /** Writes down that a half message is at its end, and says why. False: that was not possible now. */
  giveUp(half: PendingHalf, outcome: Outcome, reason: RingmqError): boolean;
}

/** In one move, as in one call: a coordinator that has been away finds many. */
const TOGETHER_MAX = 1_024;
const AGAIN_MS = 1_000;
/** A topic that is not known for so long is not only away. */
const GONE_MS = 10_000;

/** Half messages that are to be committed, by topic. */
class Gathering {
  readonly halves = new Map<string, PendingHalf[]>();
  /** When somebody has begun to commit them. */
  readonly begun: Promise<void>;
  private resolve: () => void = () => {};

  constructor() {
    this.begun = new Promise((resolve) => {
      this.resolve = resolve;
    });
  }

  add(half: PendingHalf): void {
    half.resolving = this.begun;
    const known = this.halves.get(half.topic);
    if (known) known.push(half);
    else this.halves.set(half.topic, [half]);
  }

  begin(): void {
    this.resolve();
  }
}

export class CommitOps {
  private readonly host: OpsHost;
  private gathering: Gathering | undefined;
  private stopping = false;

  constructor(host: OpsHost) {
    this.host = host;
  }

  /** What was not begun is the next coordinator's. */
  stop(): void {
    this.stopping = true;
    this.begin();
  }

  /** An op message was read. */
  take(offsets: readonly number[]): void {
    const table = this.host.table();
    for (const offset of offsets) {
      const half = table.pendingAt(offset);
      // Others have decided: it came late, and whoever sent it asks what became of it.
      if (half === undefined || half.resolving) continue;
      if (this.gathering === undefined) this.gather();
      this.gathering?.add(half);
    }
  }

  /** O1: resolves when no op message can decide about these half messages any more but those that were taken. */
  async settled(offsets: readonly number[]): Promise<void> {
    const { halves, table } = this.host;
    let until = 0;
    for (const offset of offsets) {
      if (table().state(offset).is === 'unknown') await halves.reached(offset);
      until = Math.max(until, table().pendingAt(offset)?.opUntil ?? 0);
    }
    if (until === 0) return;
    while (performance.now() < until) await this.pause(until - performance.now());
    await halves.caughtUp();
  }

  private gather(): void {
    this.gathering = new Gathering();
    // What is read in one turn shares one write, one sync and one batch.
    queueMicrotask(this.begin);
  }

  private readonly begin = (): void => {
    const { gathering } = this;
    if (gathering === undefined) return;
    this.gathering = undefined;
    for (const [topic, halves] of gathering.halves) {
      for (let at = 0; at < halves.length; at += TOGETHER_MAX) {
        const together = halves.slice(at, at + TOGETHER_MAX);
        const carried = this.carryOut(topic, together);
        for (const half of together) half.resolving = carried;
      }
    }
    gathering.begin();
  };

  private async carryOut(topic: string, halves: readonly PendingHalf[]): Promise<void> {
    const group = new CommitGroup(topic);
    for (const { offset } of halves) group.offsets.push(offset);
    group.begin(this.host.publish);
    const refusal = await group.decided;
    if (refusal === undefined) return;
    await Promise.all(halves.map((half) => this.insist(half)));
    // Of those that are open still nobody takes care any more.
    for (const half of halves) half.resolving = undefined;
  }

  /** O2 */
  private async insist(half: PendingHalf): Promise<void> {
    const { publish, table } = this.host;
    const of = table();
    let goneAt: number | undefined;
    while (of === table() && of.pendingAt(half.offset) === half) {
      const group = new CommitGroup(half.topic);
      group.offsets.push(half.offset);
      group.begin(publish);
      const refusal = await group.decided;
      if (refusal === undefined || this.stopping) return;
      const outcome = endOf(refusal.code);
      goneAt = outcome && (goneAt ?? performance.now());
      const isGone = goneAt !== undefined && performance.now() - goneAt >= GONE_MS;
      if (isGone && outcome && this.host.giveUp(half, outcome, refusal)) return;
      await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
    }
  }

  private async pause(ms: number): Promise<void> {
    if (this.stopping) throw new RingmqError('shutting-down');
    await new Promise((resolve) => setTimeout(resolve, Math.min(ms, AGAIN_MS)));
  }
}

function endOf(code: CodeName): Outcome | undefined {
  if (TOPIC_GONE.has(code)) return COMMITTED;
  return HALF_GONE.has(code) ? DROPPED : undefined;
}
