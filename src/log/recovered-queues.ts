// Gathers what the log has of every partition, from its segments in ascending order.
import type { ExpiredQueue } from './expired-queues.ts';
import { queueKey, type RecoveredQueue, type Run } from './run.ts';
import type { QueueSpan } from './run-rows.ts';

/** Runs of all tails together: a limit on memory, shared by the partitions. */
const TAIL_RUNS_MAX = 262_144;
/** Limits on the runs of one partition's tail: each is a read from the disk when its ring is opened. */
const TAIL_RUNS_LEAST = 16;
const TAIL_RUNS_MOST = 16_384;

interface Gathered {
  readonly topicId: number;
  readonly partition: number;
  readonly oldestOffset: number;
  nextOffset: number;
  /** Newest run first. */
  readonly tail: Run[];
  tailBytes: number;
  /** Nothing older is wanted. */
  complete: boolean;
}

export class RecoveredQueues {
  private readonly queues = new Map<number, Gathered>();
  private readonly tailBytesMax: number;
  private readonly recentFrom: number;
  private incomplete = 0;

  /**
   * `tailBytesMax`: bytes of runs that a partition's ring wants to start with. Runs at or behind the log position
   * `recentFrom` are in the tail in any case: their senders may not have been told of them, and send them again.
   */
  constructor(tailBytesMax: number, recentFrom: number) {
    this.tailBytesMax = tailBytesMax;
    this.recentFrom = recentFrom;
  }

  /** Adds a queue of a segment; segments come oldest first. */
  add(span: QueueSpan): void {
    const key = queueKey(span.topicId, span.partition);
    const queue = this.queues.get(key);
    if (queue !== undefined) queue.nextOffset = Math.max(queue.nextOffset, span.nextOffset);
    else {
      const { topicId, partition, firstOffset, nextOffset } = span;
      const tail: Run[] = [];
      this.queues.set(key, {
        topicId,
        partition,
        oldestOffset: firstOffset,
        nextOffset,
        tail,
        tailBytes: 0,
        complete: false,
      });
      this.incomplete++;
    }
  }

  /** A queue of which retention left nothing but the place where its offsets go on. After all segments. */
  addExpired({ topicId, partition, nextOffset }: ExpiredQueue): void {
    const key = queueKey(topicId, partition);
    if (this.queues.has(key)) return;
    const queue = { topicId, partition, oldestOffset: nextOffset, nextOffset, tail: [], tailBytes: 0, complete: true };
    this.queues.set(key, queue);
  }

  /** Some queue wants more runs than it has. */
  get wantsTails(): boolean {
    return this.incomplete > 0;
  }

  /** True if the queue wants older runs than it has. */
  wantsTail(topicId: number, partition: number): boolean {
    return this.queues.get(queueKey(topicId, partition))?.complete === false;
  }

  /** Adds a run to the front of its queue's tail; runs of a queue come newest first. */
  addOlder(run: Run): void {
    const queue = this.queues.get(queueKey(run.topicId, run.partition));
    if (queue === undefined || queue.complete) return;
    const next = queue.tail.at(-1)?.baseOffset ?? queue.nextOffset;
    const wanted = run.position >= this.recentFrom || queue.tailBytes + run.size <= this.tailBytesMax;
    // A tail has no gap: what stands before damage is read from the log.
    const taken = run.nextOffset === next && wanted && queue.tail.length < this.tailRunsMax;
    if (taken) {
      queue.tail.push(run);
      queue.tailBytes += run.size;
    }
    if (taken && run.baseOffset > queue.oldestOffset) return;
    queue.complete = true;
    this.incomplete--;
  }

  /** In the order of topic ids and partition numbers. */
  toArray(): RecoveredQueue[] {
    return [...this.queues.values()]
      .sort((a, b) => a.topicId - b.topicId || a.partition - b.partition)
      .map(({ topicId, partition, oldestOffset, nextOffset, tail }) => ({
        topicId,
        partition,
        oldestOffset,
        nextOffset,
        tail: tail.toReversed(),
      }));
  }

  private get tailRunsMax(): number {
    const share = Math.floor(TAIL_RUNS_MAX / this.queues.size);
    return Math.min(TAIL_RUNS_MOST, Math.max(TAIL_RUNS_LEAST, share));
  }
}
