// One session's wish to get a topic, and where it stands in each partition.
import type { StartFrom } from '../wire/commands.ts';
import type { Cursor } from './cursor.ts';
import type { FrameFilter } from './frame-filters.ts';
import type { Session } from './session.ts';

export class Subscription {
  readonly session: Session;
  /** The client's number for it; 0 in the readable protocol. */
  readonly id: number;
  readonly topic: string;
  readonly from: StartFrom;
  /** Numbers of the partitions wanted; empty: all. */
  readonly partitions: readonly number[];
  /** Undefined: everything is wanted. */
  readonly filter: FrameFilter | undefined;
  /** Of the topic, once its route is known. */
  topicId = 0;
  /** By partition id. */
  readonly cursors = new Map<number, Cursor>();
  /** Partition ids whose rings are waited for. */
  readonly pending = new Set<number>();
  /** The client has been told where it starts. */
  begun = false;
  /** It was ended, perhaps while it began. */
  dropped = false;

  constructor(
    session: Session,
    id: number,
    topic: string,
    from: StartFrom,
    partitions: readonly number[],
    filter?: FrameFilter,
  ) {
    this.session = session;
    this.id = id;
    this.topic = topic;
    this.from = from;
    this.partitions = partitions;
    this.filter = filter;
  }

  wants(number: number): boolean {
    return this.partitions.length === 0 || this.partitions.includes(number);
  }
}
