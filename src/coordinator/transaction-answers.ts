// What those hear who end transactions, or would begin one.
import type { CodeName } from '../base/codes.ts';
import type { Outcome } from '../transaction/half-table.ts';
import type { TransactionEnded } from '../wire/services.ts';

/** The topic of those that are given up does not take the message, and never will. */
export const NEVER_KEPT: ReadonlySet<CodeName> = new Set(['message-too-large', 'malformed-batch', 'direct-only']);

export function refused(code: TransactionEnded['code']): TransactionEnded {
  return { code, partition: -1, offset: -1 };
}

export function answerOf({ fate, partition, offset }: Outcome, commit: boolean): TransactionEnded {
  if (fate === 'dropped') return refused('unknown-transaction');
  return (fate === 'commit') === commit ? { code: 'ok', partition, offset } : refused('transaction-ended');
}

export function tooMany(open: number): string {
  return `${open} transactions are open, as many as may be: resolve them`;
}
