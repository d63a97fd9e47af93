// Pulls: read once from an offset, waiting for messages if there are none and the client wants to.
import { PERMISSION_READ } from '../../native-layout/partition-table.ts';
import { RingmqError } from '../base/codes.ts';
import type { CommandOf, PartitionRoute, PartitionStart, StartFrom } from '../wire/commands.ts';
import { PULL_MAX_BYTES, PULL_WAIT_MAX_MS, PULLS_ALL_MAX, PULLS_MAX } from './config.ts';
import type { FeedWaiter, PartitionFeed } from './feed.ts';
import type { Feeds } from './feeds.ts';
import { refusalOf } from './refusal.ts';
import type { Rings } from './rings.ts';
import type { RouteBook } from './routes.ts';
import type { Span } from './span.ts';

export type PullRequest = Omit<CommandOf<'pull'>, 'type'>;
export type PullResult = Omit<CommandOf<'pull-reply'>, 'type'>;

/** Hears how a pull went; one of the two, once. */
export interface PullTarget {
  answer(result: PullResult): void;
  refuse(error: RingmqError): void;
}

/** Who pulls: its number of waiting pulls is limited, and they end with it. */
export interface Puller {
  pulls: number;
  readonly closed: boolean;
}

const NOTHING = new Uint8Array(0);

export class Pulls {
  private readonly feeds: Feeds;
  private readonly rings: Rings;
  private readonly routes: RouteBook;
  private readonly clock: () => number;
  private readonly waiting = new Set<WaitingPull>();

  constructor(feeds: Feeds, rings: Rings, routes: RouteBook, clock: () => number) {
    this.feeds = feeds;
    this.rings = rings;
    this.routes = routes;
    this.clock = clock;
  }

  /** Throws what is wrong with the request itself. */
  begin(puller: Puller, request: PullRequest, target: PullTarget): void {
    if (puller.pulls >= PULLS_MAX || this.waiting.size >= PULLS_ALL_MAX) {
      throw new RingmqError('busy', `at most ${PULLS_MAX} pulls of a session wait at a time`);
    }
    puller.pulls++;
    this.pull(puller, request, target).catch((error: unknown) => {
      puller.pulls--;
      target.refuse(refusalOf(error));
    });
  }

  /** Ends what has waited long enough, and the pulls of those who have gone. */
  housekeep(nowMs: number): void {
    for (const one of this.waiting)
      if (nowMs >= one.deadline || one.puller.closed) this.finish(one, NOTHING, one.offset);
  }

  /** Everybody gets what there is: nothing. */
  close(): void {
    for (const one of this.waiting) this.finish(one, NOTHING, one.offset);
  }

  private async pull(puller: Puller, request: PullRequest, target: PullTarget): Promise<void> {
    const route = await this.routes.fetch(request.topic, false);
    const partition = route.partitions.find((one) => one.number === request.partition);
    if (!partition) {
      throw new RingmqError('unknown-partition', `topic ${route.topic} has no partition ${request.partition}`);
    }
    if ((partition.permission & PERMISSION_READ) === 0) throw new RingmqError('no-read-permission');
    await this.rings.ready(partition, this.clock());
    const feed = this.feeds.obtain(route.topic, partition);
    try {
      this.readOrWait(feed, puller, request, target);
    } finally {
      this.feeds.settle(feed);
    }
  }

  private readOrWait(feed: PartitionFeed, puller: Puller, request: PullRequest, target: PullTarget): void {
    const { maxBytes, waitMs } = request;
    const most = Math.min(maxBytes || PULL_MAX_BYTES, PULL_MAX_BYTES);
    const { start, wide } = this.feeds.locate(feed, startOf(request, feed.route));
    const one: WaitingPull = new WaitingPull(feed, start, puller, target, most, (bytes, nextOffset) =>
      this.finish(one, bytes, nextOffset),
    );
    const { bytes, nextOffset } = request.from === 'latest' ? NONE_READ : feed.read(wide, most);
    this.waiting.add(one);
    const nobodyWaits = waitMs === 0 || start.gap;
    if (bytes.length > 0) this.finish(one, bytes, nextOffset);
    else if (nobodyWaits) this.finish(one, NOTHING, start.offset);
    else {
      one.deadline = this.clock() + Math.min(waitMs, PULL_WAIT_MAX_MS);
      feed.wait(one);
      this.feeds.look(feed);
    }
  }

  private finish(one: WaitingPull, bytes: Uint8Array, nextOffset: number): void {
    if (!this.waiting.delete(one)) return;
    one.puller.pulls--;
    one.feed.stopWaiting(one);
    one.answer(bytes, nextOffset);
    // Not at once: the feed may be in the middle of its turn.
    queueMicrotask(() => this.feeds.settle(one.feed));
  }
}

const NONE_READ = { bytes: NOTHING, nextOffset: 0 };

/** A pull that waits for the next batches of its partition. */
class WaitingPull implements FeedWaiter {
  readonly feed: PartitionFeed;
  readonly puller: Puller;
  deadline = 0;
  private readonly start: PartitionStart;
  private readonly target: PullTarget;
  private readonly maxBytes: number;
  private readonly done: (bytes: Uint8Array, nextOffset: number) => void;

  constructor(
    feed: PartitionFeed,
    start: PartitionStart,
    puller: Puller,
    target: PullTarget,
    maxBytes: number,
    done: (bytes: Uint8Array, nextOffset: number) => void,
  ) {
    this.feed = feed;
    this.start = start;
    this.puller = puller;
    this.target = target;
    this.maxBytes = maxBytes;
    this.done = done;
  }

  /** The offset that it waits for. */
  get offset(): number {
    return this.start.offset;
  }

  tryTake(span: Span): boolean {
    if (span.nextOffset <= this.offset) return false;
    const { bytes, nextOffset } = span.copyFrom(this.offset, this.maxBytes);
    this.done(bytes, nextOffset);
    return true;
  }

  answer(batches: Uint8Array, nextOffset: number): void {
    if (this.puller.closed) return;
    const { id, number, epoch, gap } = this.start;
    this.target.answer({ id, number, epoch, nextOffset, gap, batches });
  }
}

function startOf(request: PullRequest, route: PartitionRoute): StartFrom {
  const { from, epoch, partition } = request;
  if (typeof from === 'string') return from;
  return { positions: [{ partition, epoch: epoch || route.epoch, offset: from.offset }] };
}
