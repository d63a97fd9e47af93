// What those hear who end transactions, or would begin one.
import type { CodeName } from '../base/codes.ts';
import type { Outcome } from '../transaction/half-table.ts';

/** The topic of those that are given up does not take the message, and never will. */
export const NEVER_KEPT: ReadonlySet<CodeName> = new Set(['message-too-large', 'malformed-batch', 'direct-only']);
/** What a topic answers that was deleted, and perhaps made anew, after a commit was decided. */
export const TOPIC_GONE: ReadonlySet<CodeName> = new Set([
  'unknown-topic',
  'unknown-partition',
  'message-too-large',
  'direct-only',
]);

/** What reading a half message fails with that is not kept any more. */
export const HALF_GONE: ReadonlySet<CodeName> = new Set(['not-found', 'log-damaged']);

/** What became of a transaction. `partition` and `offset`: of the message that a commit made visible; -1 otherwise. */
export interface Ended {
  /** `ok`, `unknown-transaction`, `transaction-ended`, or why it could not be. */
  readonly code: CodeName;
  readonly partition: number;
  readonly offset: number;
}

export const OK: Ended = { code: 'ok', partition: -1, offset: -1 };

export function refused(code: CodeName): Ended {
  return { code, partition: -1, offset: -1 };
}

export function answerOf({ fate, partition, offset }: Outcome, commit: boolean): Ended {
  if (fate === 'dropped') return refused('unknown-transaction');
  return (fate === 'commit') === commit ? { code: 'ok', partition, offset } : refused('transaction-ended');
}

export function tooMany(open: number): string {
  return `${open} transactions are open, as many as may be: resolve them`;
}
