// What the parts of the lease desk share.
import type { InProcessConnection } from '../client/in-process.ts';
import type { RecordView } from '../record/batch-view.ts';
import type { SendBack } from '../wire/services.ts';
import type { BatchCopier } from './batch-copier.ts';
import type { GroupBook } from './group-book.ts';
import type { GroupQueue } from './group-state.ts';
import type { Holding } from './lease-chunks.ts';
import type { LeaseReply } from './lease-reply.ts';

/** Puts a failed message where it waits for the next attempt, or among the dead letters. Then it is acknowledged. */
export interface RetryPort {
  sendBack(request: SendBack): Promise<unknown>;
}

/** True for records that the filter lets pass; undefined: all do. Throws `illegal-filter`. */
export type FilterCompiler = (text: string) => ((record: RecordView) => boolean) | undefined;

/** Leases of messages that were delivered alike, as the journal has them: RUN numbers each. */
export const RUN = 8;

export interface LeaseContext {
  readonly connection: Pick<InProcessConnection, 'reader'>;
  readonly book: GroupBook;
  readonly retries: RetryPort;
  readonly filters: FilterCompiler;
  readonly holding: Holding;
  readonly copier: BatchCopier;
  readonly reply: LeaseReply;
  /** Milliseconds since 1970. */
  readonly clock: () => number;
  readonly warn: (text: string) => void;
  /** A number that names one answer to one receive. */
  nextToken(): number;
  /** Writes down what has become of leases. Throws what the journal refuses with. */
  write(group: string, runs: readonly number[]): void;
  /** What a predecessor knew of the queue's leases; once. */
  takeRestored(queue: GroupQueue): readonly number[] | undefined;
}

/** Adds one lease to runs; consecutive ones that are alike become one. */
export function addRun(
  runs: number[],
  { topicId, partition, progress }: GroupQueue,
  offset: number,
  token: number,
  until: number,
  deliveries: number,
): void {
  const at = runs.length - RUN;
  const follows = at >= 0 && runs[at] === topicId && runs[at + 1] === partition && runs[at + 4] === offset;
  if (follows && runs[at + 5] === token && runs[at + 6] === until && runs[at + 7] === deliveries) runs[at + 4]++;
  else runs.push(topicId, partition, progress.epoch, offset, offset + 1, token, until, deliveries);
}
