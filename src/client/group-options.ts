// Options of a consumer that shares a topic with others of its group: checked, with their defaults.
import { RingmqError } from '../base/codes.ts';
import { isGroupName } from '../base/units.ts';
import { filterText } from '../filter/filter.ts';
import type { StartFrom } from '../wire/commands.ts';
import type { GroupFrom } from '../wire/services.ts';
import type { ConsumerOptions } from './connection.ts';

/** RocketMQ's consumeThreadMin. */
const CONCURRENCY = 20;
const CONCURRENCY_MAX = 4_096;
/** RocketMQ's consumeTimeout. */
const HANDLER_TIMEOUT_MS = 15 * 60_000;
const COMMIT_MS = 1_000;
const COMMIT_MIN_MS = 10;
const GROUP_MAX_LENGTH = 120;

export interface GroupSetup {
  readonly group: string;
  readonly member: string;
  readonly from: GroupFrom;
  readonly order: 'none' | 'key' | 'partition';
  readonly concurrency: number;
  readonly handlerTimeoutMs: number;
  readonly priority: boolean;
  readonly commitMs: number;
  /** Canonical text of the filter; '' for none. */
  readonly filter: string;
  /** Most messages of a queue that wait here. */
  readonly waitingMax: number;
}

/** RocketMQ's pullThresholdForQueue. */
const WAITING_MAX = 1_000;

/** True if these are the options of a consumer that shares a topic with its group. */
export function isClustering<T>(options: ConsumerOptions<T>): boolean {
  const { group, mode = 'clustering' } = options;
  if (mode !== 'clustering' && mode !== 'broadcasting')
    throw illegal(`mode is ${String(mode)}: clustering or broadcasting`);
  return group !== undefined && mode === 'clustering';
}

/** Throws `illegal-group` or `illegal-argument`. */
export function groupSetup<T>(options: ConsumerOptions<T>): GroupSetup {
  const { group = '', from = 'latest', order = 'key', priority = false, commitMs = COMMIT_MS } = options;
  const { handlerTimeoutMs = HANDLER_TIMEOUT_MS, bufferMessages = WAITING_MAX } = options;
  const { concurrency = order === 'partition' ? 1 : CONCURRENCY, member = randomName() } = options;
  checkGroupName(group);
  if (!isGroupName(member))
    throw illegal(`member ${JSON.stringify(member)}: 1 to 255 characters of A-Z a-z 0-9 % | . _ -`);
  if (order !== 'key' && order !== 'partition' && order !== 'none')
    throw illegal(`order is ${String(order)}: key, partition or none`);
  if (!(Number.isSafeInteger(concurrency) && concurrency >= 1 && concurrency <= CONCURRENCY_MAX)) {
    throw illegal(`concurrency is ${concurrency}: 1 to ${CONCURRENCY_MAX} handlers at once`);
  }
  if (!(handlerTimeoutMs > 0)) throw illegal(`handlerTimeoutMs is ${handlerTimeoutMs}: more than 0`);
  if (!(commitMs >= COMMIT_MIN_MS)) throw illegal(`commitMs is ${commitMs}: ${COMMIT_MIN_MS} or more`);
  if (!(bufferMessages >= 1)) throw illegal(`bufferMessages is ${bufferMessages}: 1 or more`);
  if (priority && order === 'partition') throw illegal('priority and order partition exclude each other');
  if (options.partitions !== undefined) {
    throw illegal('partitions of a group are assigned by the broker: leave partitions out, or use mode broadcasting');
  }
  const waitingMax = Math.min(bufferMessages, WAITING_MAX);
  return {
    group,
    member,
    from: groupFrom(from),
    filter: filterText(options.filter),
    order,
    concurrency,
    handlerTimeoutMs,
    priority,
    commitMs,
    waitingMax,
  };
}

/** What only members of a group can do. */
export function refusedToReaders(): Promise<void> {
  return Promise.reject(illegal('this needs a consumer with a group, in mode clustering: this one just reads'));
}

function checkGroupName(group: string): void {
  if (isGroupName(group) && group.length <= GROUP_MAX_LENGTH && !group.includes('|')) return;
  const text = `names have 1 to ${GROUP_MAX_LENGTH} characters of A-Z a-z 0-9 % . _ -`;
  throw new RingmqError('illegal-group', `group ${JSON.stringify(group)}: ${text}`);
}

function groupFrom(from: StartFrom): GroupFrom {
  if (from === 'latest' || from === 'earliest') return from;
  if (typeof from === 'object' && 'time' in from && Number.isSafeInteger(from.time) && from.time >= 0) {
    return { time: from.time };
  }
  const text = "a group begins at 'latest', 'earliest' or { time } (milliseconds since 1970); resetGroup() moves it";
  throw illegal(`from is ${JSON.stringify(from)}: ${text}`);
}

/** Tells one from all others. */
export function randomName(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(8));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}

function illegal(text: string): RingmqError {
  return new RingmqError('illegal-argument', text);
}
