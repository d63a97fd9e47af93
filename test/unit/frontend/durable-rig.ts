// A durable partition with its ring and its log, whose turns and answers a test gives by hand.
import { MORE } from '../../../src/frontend/catch-up.ts';
import type { Cursor } from '../../../src/frontend/cursor.ts';
import type { PartitionFeed } from '../../../src/frontend/feed.ts';
import { HistoryFeed } from '../../../src/frontend/history-feed.ts';
import { Subscription } from '../../../src/frontend/subscription.ts';
import { FakeLog } from './fake-log.ts';
import { FakeSession, FeedRig } from './support.ts';

export const LENGTH = 96;
export const RING_BYTES = 2_048;

/** A durable partition, its log, and who may go on. */
export class DurableRig {
  readonly log = new FakeLog();
  readonly runnable = new Set<Cursor>();
  readonly history: HistoryFeed;
  readonly rig: FeedRig;

  constructor(position = 0, budgetBytes?: number, capacity = RING_BYTES) {
    this.history = new HistoryFeed(this.log, (cursor) => void this.runnable.add(cursor), budgetBytes);
    this.rig = new FeedRig('drop-oldest', capacity, position, { archive: this.history, topicId: 9 });
  }

  get feed() {
    return this.rig.feed;
  }

  publish(batches: number, records = 1, length = LENGTH): void {
    for (let i = 0; i < batches; i++) {
      const base = this.rig.next;
      // The journal holds what the log does not have yet: here the log is always fast enough.
      if (!this.rig.publish(records, length)) throw new Error('nobody may hold the writer of a durable topic');
      this.log.append(this.rig.newest, base, this.rig.next);
    }
  }

  session(): FakeSession {
    return new FakeSession(this.runnable);
  }

  /** Subscribes at an offset that the ring may have or not. */
  join(session = this.session(), offset = this.rig.next): Cursor {
    return this.joinFeed(this.feed, session, offset);
  }

  /** A drain or credit of the session makes the cursor runnable, as in a front end. */
  joinFeed(feed: PartitionFeed, session: FakeSession, offset: number): Cursor {
    const cursor = feed.addFromLog(session, offset);
    const name = String(session.subscriptions.size);
    const subscription = new Subscription(session, 1, name, 'earliest', []);
    subscription.cursors.set(1, cursor);
    session.subscriptions.set(name, subscription);
    this.runnable.add(cursor);
    return cursor;
  }

  /** One turn of all that may go on; returns what the last one said. */
  run(bytes = 1_000_000): number {
    let outcome = 0;
    for (const cursor of [...this.runnable]) {
      this.runnable.delete(cursor);
      outcome = cursor.feed.catchUp(cursor, bytes);
      if (outcome === MORE) this.runnable.add(cursor);
    }
    return outcome;
  }

  /** Until nobody has anything to do, with every request answered. */
  settle(): void {
    for (let round = 0; round < 1_000; round++) {
      this.feed.deliver();
      this.run();
      const answered = this.log.answer();
      if (!answered && this.runnable.size === 0 && this.history.housekeep() === 0) return;
    }
    throw new Error('it never comes to rest');
  }
}
