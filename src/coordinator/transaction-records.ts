// What the coordinator's journal knows of transactions besides the moves of those that were committed.
import type { HalfTable, Outcome } from '../transaction/half-table.ts';
import type { MoveSource } from './mover.ts';

/** Name of the part in the journal. */
export const TRANSACTIONS_PART = 'transactions';

/** Half messages that are published, or given up. */
export interface HalfSource extends MoveSource {
  readonly kind: 'commit' | 'give-up';
  /** Of the topic of half messages. */
  readonly topicId: number;
  readonly offsets: readonly number[];
}

/** A record of the journal. Numbers are flat. */
export interface TransactionRecord {
  readonly topicId: number;
  /** All before it are resolved. */
  readonly floor?: number;
  /** Resolved above the floor: pairs [from, to). */
  readonly resolved?: readonly number[];
  /** Rolled back. */
  readonly rollbacks?: readonly number[];
  /** Triples: half message, checks, when the next one is due. */
  readonly checks?: readonly number[];
  /** Four numbers each: half message, index in FATES, partition and offset of the message. */
  readonly outcomes?: readonly number[];
}

const FATES: readonly Outcome['fate'][] = ['commit', 'rollback', 'dropped'];
export const ROLLED_BACK: Outcome = { fate: 'rollback', partition: -1, offset: -1 };
/** Its topic was deleted before the message came there. */
export const COMMITTED: Outcome = { fate: 'commit', partition: -1, offset: -1 };
export const DROPPED: Outcome = { fate: 'dropped', partition: -1, offset: -1 };
/** A half message that is at its end, and whose message is kept nowhere. */
export function outcomeRecord(topicId: number, half: number, outcome: Outcome): TransactionRecord {
  return { topicId, outcomes: [half, FATES.indexOf(outcome.fate), outcome.partition, outcome.offset] };
}

/** Outcomes in one record. */
const OUTCOMES_EACH = 1_024;

/** Puts a record's contents into the table. */
export function applyRecord(table: HalfTable, record: TransactionRecord): void {
  const { floor = 0, resolved = [], rollbacks = [], checks = [], outcomes = [] } = record;
  table.skipped(0, floor);
  for (let i = 0; i < resolved.length; i += 2) table.skipped(resolved[i], resolved[i + 1]);
  for (const offset of rollbacks) table.ended(offset, ROLLED_BACK);
  for (let i = 0; i < checks.length; i += 3) table.wasChecked(checks[i], checks[i + 1], checks[i + 2]);
  for (let i = 0; i < outcomes.length; i += 4) {
    const [half, fate, partition, offset] = outcomes.slice(i, i + 4);
    table.ended(half, { fate: FATES[fate], partition, offset });
  }
}

/** Records that make the table's present state, but for pending half messages: those are read again. */
export function* tableRecords(table: HalfTable, topicId: number): Iterable<TransactionRecord> {
  yield { topicId, floor: table.floor, resolved: table.resolved, checks: [...table.checks()].flat() };
  let outcomes: number[] = [];
  for (const [half, { fate, partition, offset }] of table.remembered) {
    outcomes.push(half, FATES.indexOf(fate), partition, offset);
    if (outcomes.length < 4 * OUTCOMES_EACH) continue;
    yield { topicId, outcomes };
    outcomes = [];
  }
  if (outcomes.length > 0) yield { topicId, outcomes };
}
