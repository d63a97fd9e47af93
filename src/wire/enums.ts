// The schema's small enums as the words that commands use: the index of a word is its number on the wire.
import type { OverflowPolicy } from '../../native-layout/partition-table.ts';
import type { GapReason } from './commands.ts';

export const OVERFLOWS = ['block', 'drop-oldest', 'reject'] as const satisfies readonly OverflowPolicy[];

export const GAP_REASONS = [
  'evicted',
  'expired',
  'epoch-changed',
  'ahead',
  'damaged',
] as const satisfies readonly GapReason[];

/** Where a pull may start. */
export const PULL_STARTS = ['latest', 'earliest', 'offset'] as const;

/** Where a subscription may start. */
export const STARTS = [...PULL_STARTS, 'last', 'positions', 'time'] as const;

/** Whether a new topic is kept in the log: as the broker does, yes, no. */
export const DURABILITIES = [undefined, true, false] as const;

/** RocketMQ's permission bits (inherit 1, write 2, read 4) in every combination. */
export const PERMISSIONS = [0, 1, 2, 3, 4, 5, 6, 7] as const;
