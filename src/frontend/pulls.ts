// Pulls: read once from an offset, waiting for messages if there are none and the client wants to. What has left the
// ring of a durable partition comes from the log.
import { PERMISSION_READ } from '../../native-layout/partition-table.ts';
import { RingmqError } from '../base/codes.ts';
import type { RecordFilter } from '../filter/filter.ts';
import type { CommandOf, PartitionRoute, PartitionStart, StartFrom } from '../wire/commands.ts';
import type { FeedWaiter } from './catch-up.ts';
import { PULL_MAX_BYTES, PULL_WAIT_MAX_MS, PULLS_ALL_MAX, PULLS_MAX } from './config.ts';
import type { PartitionFeed } from './feed.ts';
import type { Feeds, Place } from './feeds.ts';
import type { LogQuestions } from './log-questions.ts';
import { wantedOf } from './pull-filter.ts';
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
/** Times that a pull looks again because the writer was faster, or because the log said where to go on. */
const LOOKS_MAX = 8;

export class Pulls {
  private readonly feeds: Feeds;
  private readonly rings: Rings;
  private readonly routes: RouteBook;
  private readonly log: LogQuestions | undefined;
  private readonly clock: () => number;
  private readonly waiting = new Set<WaitingPull>();

  /** `log`: undefined if the broker keeps no data. */
  constructor(feeds: Feeds, rings: Rings, routes: RouteBook, log: LogQuestions | undefined, clock: () => number) {
    this.feeds = feeds;
    this.rings = rings;
    this.routes = routes;
    this.log = log;
    this.clock = clock;
  }

  /** Throws what is wrong with the request itself. */
  begin(puller: Puller, request: PullRequest, target: PullTarget): void {
    if (puller.pulls >= PULLS_MAX || this.waiting.size >= PULLS_ALL_MAX) {
      throw new RingmqError('busy', `at most ${PULLS_MAX} pulls of a session wait at a time`);
    }
    const filter = this.feeds.filters.filter(request.filter)?.records;
    puller.pulls++;
    const deadline = this.clock() + Math.min(request.waitMs, PULL_WAIT_MAX_MS);
    this.begun({ request, filter, puller, target, deadline });
  }

  /** Ends what has waited long enough, and the pulls of those who have gone. */
  housekeep(nowMs: number): void {
    for (const one of this.waiting)
      if (nowMs >= one.job.deadline || one.job.puller.closed) this.finish(one, NOTHING, one.offset);
  }

  /** Everybody gets what there is: nothing. */
  close(): void {
    for (const one of this.waiting) this.finish(one, NOTHING, one.offset);
  }

  /** `aim`: undefined: where the request says. */
  private begun(job: Job, aim?: Aim): void {
    this.pull(job, aim).catch((error: unknown) => {
      job.puller.pulls--;
      job.target.refuse(refusalOf(error));
    });
  }

  private async pull(job: Job, first: Aim | undefined): Promise<void> {
    const { request, puller, target } = job;
    const route = await this.routes.fetch(request.topic, false);
    const partition = route.partitions.find((one) => one.number === request.partition);
    if (!partition) {
      throw new RingmqError('unknown-partition', `topic ${route.topic} has no partition ${request.partition}`);
    }
    if ((partition.permission & PERMISSION_READ) === 0) throw new RingmqError('no-read-permission');
    let aim = first ?? { from: startOf(request, partition), missing: undefined };
    for (let looks = 0; looks < LOOKS_MAX; looks++) {
      await this.rings.ready(partition, this.clock());
      const inLog = this.look(job, partition, aim);
      if (inLog === undefined) return;
      const found = await this.readLog(job, partition, inLog);
      if ('batches' in found) {
        puller.pulls--;
        if (!puller.closed) target.answer(found);
        return;
      }
      aim = found;
    }
    throw new RingmqError('log-busy', 'the writer is faster than this pull: ask again');
  }

  /** Reads the ring, or waits for news in it; returns a place that only the log has. */
  private look(job: Job, partition: PartitionRoute, { from, missing }: Aim): LogPlace | undefined {
    const feed = this.feeds.obtain(job.request.topic, partition);
    try {
      const place = this.feeds.locate(feed, from);
      const start = missing === undefined ? place.start : { ...place.start, gap: true, gapFrom: missing };
      const isDone = !place.inLog && this.readOrWait(feed, { ...place, start }, job, from);
      return isDone ? undefined : { topicId: feed.topicId, start };
    } finally {
      this.feeds.settle(feed);
    }
  }

  /** False: a durable partition's writer was faster. */
  private readOrWait(feed: PartitionFeed, { start, wide }: Place, job: Job, from: StartFrom): boolean {
    const most = mostOf(job.request);
    const { bytes, nextOffset } = from === 'latest' ? NONE_READ : feed.read(wide, most);
    const { filter } = job;
    if (bytes.length === 0 && feed.durable && start.offset < feed.endOffset) return false;
    const one: WaitingPull = new WaitingPull(feed, start, job, most, {
      done: (bytes, nextOffset) => this.finish(one, bytes, nextOffset),
      passed: () => this.again(one),
    });
    this.waiting.add(one);
    // Without any that is wanted too: whoever asks goes on from there, and others have their turn meanwhile.
    if (bytes.length > 0) this.finish(one, filter === undefined ? bytes : wantedOf(bytes, filter), nextOffset);
    else if (start.gap || this.clock() >= job.deadline) this.finish(one, NOTHING, start.offset);
    else {
      feed.wait(one);
      this.feeds.look(feed);
    }
    return true;
  }

  /** What the log has, or where to look instead. */
  private async readLog(
    { request, filter }: Job,
    partition: PartitionRoute,
    { topicId, start }: LogPlace,
  ): Promise<PullResult | Aim> {
    if (!this.log) throw new RingmqError('not-durable');
    const { id, number, epoch, offset } = start;
    const part = await this.log.read({ topicId, number }, offset, mostOf(request));
    const { code, baseOffset, nextOffset, oldestOffset, bytes } = part;
    if (bytes.length > 0) {
      const batches = filter === undefined ? bytes : wantedOf(bytes, filter);
      return { id, number, epoch, nextOffset, gap: start.gap || baseOffset > offset, batches };
    }
    const missing = start.gap ? start.gapFrom : undefined;
    const next = code === 'log-damaged' ? nextOffset : oldestOffset;
    // Nothing there yet: it is in the ring.
    if (code === 'ok' || next <= offset) return { from: startAt(partition, offset), missing };
    return { from: startAt(partition, next), missing: missing ?? offset };
  }

  /** What a pull waited for has come and left the ring: the log has it. */
  private again(one: WaitingPull): void {
    if (!this.waiting.delete(one)) return;
    one.feed.stopWaiting(one);
    queueMicrotask(() => this.feeds.settle(one.feed));
    this.begun(one.job, { from: startAt(one.feed.route, one.offset), missing: undefined });
  }

  private finish(one: WaitingPull, bytes: Uint8Array, nextOffset: number): void {
    if (!this.waiting.delete(one)) return;
    one.job.puller.pulls--;
    one.feed.stopWaiting(one);
    one.answer(bytes, nextOffset);
    // Not at once: the feed may be in the middle of its turn.
    queueMicrotask(() => this.feeds.settle(one.feed));
  }
}

/** One pull on its way. */
interface Job {
  readonly request: PullRequest;
  /** Undefined: everything is wanted. */
  readonly filter: RecordFilter | undefined;
  readonly puller: Puller;
  readonly target: PullTarget;
  /** Until when it waits for messages, however often it looks. */
  readonly deadline: number;
}

/** Where to read. */
interface Aim {
  readonly from: StartFrom;
  /** First offset that is gone for good. */
  readonly missing: number | undefined;
}

interface LogPlace {
  readonly topicId: number;
  readonly start: PartitionStart;
}

const NONE_READ = { bytes: NOTHING, nextOffset: 0 };

/** What becomes of a pull that waits. */
interface PullEnds {
  readonly done: (bytes: Uint8Array, nextOffset: number) => void;
  readonly passed: () => void;
}

/** A pull that waits for the next batches of its partition. */
class WaitingPull implements FeedWaiter {
  readonly feed: PartitionFeed;
  readonly job: Job;
  private readonly start: PartitionStart;
  private readonly maxBytes: number;
  private readonly ends: PullEnds;
  /** The offset that it waits for: what came before it was not wanted. */
  offset: number;

  constructor(feed: PartitionFeed, start: PartitionStart, job: Job, maxBytes: number, ends: PullEnds) {
    this.feed = feed;
    this.start = start;
    this.job = job;
    this.maxBytes = maxBytes;
    this.ends = ends;
    this.offset = start.offset;
  }

  tryTake(span: Span): boolean {
    const { filter } = this.job;
    while (this.offset < span.nextOffset) {
      const { bytes, nextOffset } = span.copyFrom(this.offset, this.maxBytes);
      const wanted = filter === undefined ? bytes : wantedOf(bytes, filter);
      if (wanted.length > 0) {
        this.ends.done(wanted, nextOffset);
        return true;
      }
      this.offset = nextOffset;
    }
    return false;
  }

  passed(): void {
    this.ends.passed();
  }

  answer(batches: Uint8Array, nextOffset: number): void {
    const { puller, target } = this.job;
    if (puller.closed) return;
    const { id, number, epoch, gap } = this.start;
    target.answer({ id, number, epoch, nextOffset, gap, batches });
  }
}

function startOf(request: PullRequest, route: PartitionRoute): StartFrom {
  const { from, epoch, partition } = request;
  if (typeof from === 'string') return from;
  return { positions: [{ partition, epoch: epoch || route.epoch, offset: from.offset }] };
}

function startAt({ number, epoch }: PartitionRoute, offset: number): StartFrom {
  return { positions: [{ partition: number, epoch, offset }] };
}

function mostOf({ maxBytes }: PullRequest): number {
  return Math.min(maxBytes || PULL_MAX_BYTES, PULL_MAX_BYTES);
}
