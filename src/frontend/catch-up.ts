// What a feed agrees on with those who are not simply sent its newest frames: how a step of catching up went, who waits
// for the next batches, who reads the log.
import type { Cursor } from './cursor.ts';
import type { PartitionFeed } from './feed.ts';
import type { Span } from './span.ts';

/** The cursor may go on in the next turn. */
export const MORE = 1;
/** It is live now. */
export const LIVE = 2;
/** Its session takes nothing more for now. */
export const BLOCKED = 3;
/** The log was asked; the cursor goes on when the answer is there. */
export const WAITING = 4;

export type CatchUpOutcome = typeof MORE | typeof LIVE | typeof BLOCKED | typeof WAITING;

/** Wants the next batches of a feed, once: a pull that waits. */
export interface FeedWaiter {
  /** False: not what it waits for; it stays. */
  tryTake(span: Span): boolean;
  /** Durable topics: what it waits for may have left the ring. It waits no more. */
  passed(): void;
}

/** Sends cursors what only the log has. */
export interface Archive {
  /** Sends the next frame, or sees to it that there will be one. Ends `fromLog` when the ring has what is wanted. */
  serve(feed: PartitionFeed, cursor: Cursor): CatchUpOutcome;
}

/** A durable partition's way to what has left its ring. */
export interface FeedLog {
  readonly archive: Archive;
  readonly topicId: number;
}
