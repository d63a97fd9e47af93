// What is known of each transaction: its half message, whether and how it was resolved, when its producers are asked.
// Pure. Transactions are named by the offset of their half message.
//
// I1 A transaction that is resolved is never resolved otherwise.
// I2 What was resolved is known at least until all before it are: `floor` says where reading the half topic begins.
import { Progress } from '../group/progress.ts';

/** A half message that nobody has resolved. */
export interface PendingHalf {
  readonly offset: number;
  readonly topic: string;
  readonly group: string;
  /** Milliseconds since 1970 when it was stored. */
  readonly storedAt: number;
  /** Time of performance.now() until which an op message may commit it that nobody has read yet; 0: none may. */
  readonly opUntil: number;
  /** How often a producer was asked. */
  checks: number;
  /** When a producer is asked next. */
  checkAt: number;
  /** Settles when what somebody does about it is decided, or could not be. The table does not look at it. */
  resolving?: Promise<unknown> | undefined;
}

/**
 * What a transaction came to. `offset` and `partition`: of the message that a commit made visible; -1: not known, or
 * its topic was deleted first.
 */
export interface Outcome {
  readonly fate: 'commit' | 'rollback' | 'dropped';
  readonly partition: number;
  readonly offset: number;
}

export interface CheckRules {
  /** Milliseconds before the first check. RocketMQ: 6 s. */
  readonly immunityMs: number;
  /** Between two checks. RocketMQ: 30 s. */
  readonly intervalMs: number;
  /** Then it is given up. RocketMQ: 15. */
  readonly checksMax: number;
  /** Half messages that may be open at a time. Default a million. */
  readonly pendingMax?: number;
}

export const CHECK_RULES: CheckRules = { immunityMs: 6_000, intervalMs: 30_000, checksMax: 15 };

/** Each takes some 200 bytes of memory. */
const PENDING_MAX = 1_000_000;
/** A half message whose group has had no producer for so long is given up too. RocketMQ: with the file that has it. */
const KEEP_MS = 72 * 3_600_000;
/** Outcomes that are remembered for those who ask again. */
const OUTCOMES_MAX = 100_000;

export interface Sweep {
  /** By group. */
  readonly due: ReadonlyMap<string, readonly PendingHalf[]>;
  readonly hopeless: readonly PendingHalf[];
}

export type HalfState =
  | { readonly is: 'unknown' }
  | { readonly is: 'pending'; readonly half: PendingHalf }
  /** It is written down that it will be published (or given up). */
  | { readonly is: 'ending'; readonly fate: Outcome['fate'] }
  | { readonly is: 'ended'; readonly outcome: Outcome };

const UNKNOWN: HalfState = { is: 'unknown' };

export class HalfTable {
  private readonly rules: CheckRules;
  private readonly halves = new Map<number, PendingHalf>();
  private readonly ending = new Map<number, Outcome['fate']>();
  /** Oldest first. */
  private readonly outcomes = new Map<number, Outcome>();
  private readonly checked = new Map<number, { checks: number; checkAt: number }>();
  /** Resolved, lost by clip(), and not told that it has ended yet. */
  private readonly lost = new Set<number>();
  private readonly outcomesMax: number;
  /** Which offsets need not be read again. */
  private readonly over: Progress;

  constructor(rules: CheckRules, floor = 0, outcomesMax = OUTCOMES_MAX) {
    this.rules = rules;
    this.over = new Progress(0, floor);
    this.outcomesMax = outcomesMax;
  }

  /** All before it are resolved. */
  get floor(): number {
    return this.over.floor;
  }

  /** Resolved above the floor: pairs [from, to). */
  get resolved(): readonly number[] {
    return this.over.acked;
  }

  get pending(): Iterable<PendingHalf> {
    return this.halves.values();
  }

  get pendingCount(): number {
    return this.halves.size;
  }

  get isFull(): boolean {
    return this.halves.size >= (this.rules.pendingMax ?? PENDING_MAX);
  }

  /** Those that are remembered, oldest first. */
  get remembered(): Iterable<readonly [number, Outcome]> {
    return this.outcomes;
  }

  /** Checks of half messages that have had one: offset, checks, when the next one is due. */
  *checks(): Iterable<readonly [offset: number, checks: number, checkAt: number]> {
    for (const [offset, { checks, checkAt }] of this.checked) yield [offset, checks, checkAt];
  }

  state(offset: number): HalfState {
    const outcome = this.outcomes.get(offset);
    if (outcome) return { is: 'ended', outcome };
    const fate = this.ending.get(offset);
    if (fate) return { is: 'ending', fate };
    const half = this.halves.get(offset);
    return half ? { is: 'pending', half } : UNKNOWN;
  }

  /** The half message at an offset, if nobody has resolved it. */
  pendingAt(offset: number): PendingHalf | undefined {
    return this.halves.get(offset);
  }

  /** A half message was stored (or read again). False if it is known, or was resolved. */
  prepared(offset: number, topic: string, group: string, storedAt: number, opUntil = 0): boolean {
    if (this.halves.has(offset) || this.ending.has(offset) || this.over.contains(offset)) return false;
    const { checks, checkAt } = this.checked.get(offset) ?? { checks: 0, checkAt: storedAt + this.rules.immunityMs };
    this.halves.set(offset, { offset, topic, group, storedAt, opUntil, checks, checkAt });
    return true;
  }

  /** It is decided, and not done yet. */
  decided(offset: number, fate: Outcome['fate']): void {
    // Looked for among the open ones first: they are few, and what has ended is many.
    if (!this.halves.delete(offset) && (this.outcomes.has(offset) || this.over.contains(offset))) return;
    this.ending.set(offset, fate);
  }

  /** A decision that could not be carried out. The half message must be prepared() again. */
  undecided(offset: number): void {
    this.ending.delete(offset);
  }

  /** It is done. */
  ended(offset: number, outcome: Outcome): void {
    if (this.lost.size > 0 && this.lost.delete(offset)) return;
    const wasOpen = this.ending.delete(offset) || this.halves.delete(offset);
    if (this.checked.size > 0) this.checked.delete(offset);
    this.over.add(offset, offset + 1);
    if (!wasOpen && this.outcomes.has(offset)) return;
    this.outcomes.set(offset, outcome);
    // Many at a time: who looks for the oldest in a map steps over all that were before it.
    if (this.outcomes.size < this.outcomesMax + (this.outcomesMax >> 3)) return;
    for (const oldest of this.outcomes.keys()) {
      if (this.outcomes.size <= this.outcomesMax) break;
      this.outcomes.delete(oldest);
    }
  }

  /** Offsets that hold no half message (any more): nothing is to be read there. */
  skipped(from: number, to: number): void {
    this.over.add(from, to);
  }

  /**
   * The topic ends here: what was resolved behind it was lost with the power, and its offsets are given to others. (A
   * coordinator may have read half messages that were not on the disk yet.)
   */
  clip(end: number): void {
    this.over.clip(end);
    for (const offset of this.ending.keys()) if (offset >= end) this.lost.add(offset);
    for (const known of [this.halves, this.ending, this.outcomes, this.checked]) {
      for (const offset of known.keys()) if (offset >= end) known.delete(offset);
    }
  }

  /** A producer was asked. */
  wasChecked(offset: number, checks: number, checkAt: number): void {
    if (this.over.contains(offset)) return;
    this.checked.set(offset, { checks, checkAt });
    const half = this.halves.get(offset);
    if (half) Object.assign(half, { checks, checkAt });
  }

  /**
   * Whose producers are to be asked now: those of `groups`, at most `max` of each; and those that were asked often
   * enough. One look at all that is pending.
   */
  sweep(groups: ReadonlySet<string>, nowMs: number, max: number): Sweep {
    const due = new Map<string, PendingHalf[]>();
    const hopeless: PendingHalf[] = [];
    for (const half of this.halves.values()) {
      if (half.checkAt > nowMs && half.checkAt - nowMs <= this.longestMs) continue;
      const isAsked = groups.has(half.group);
      if (half.checks >= this.rules.checksMax || (!isAsked && nowMs - half.storedAt >= KEEP_MS)) hopeless.push(half);
      else if (isAsked) {
        const ofGroup = due.get(half.group);
        if (ofGroup === undefined) due.set(half.group, [half]);
        else if (ofGroup.length < max) ofGroup.push(half);
      }
    }
    return { due, hopeless };
  }

  /** When a producer that is asked now is asked again. */
  nextCheck(nowMs: number): number {
    return nowMs + this.rules.intervalMs;
  }

  /** A check that lies further ahead is one from before the clock was set back. */
  private get longestMs(): number {
    return Math.max(this.rules.immunityMs, this.rules.intervalMs);
  }
}
