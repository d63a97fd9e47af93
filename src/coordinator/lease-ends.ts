// How leases end: acknowledged, given back, prolonged, run out; and where messages go that fail too often.
import { RingmqError } from '../base/codes.ts';
import type { LeaseWindow } from '../group/lease-window.ts';
import type { Settle, Settled } from '../wire/services.ts';
import type { ProgressChange } from './group-book.ts';
import type { GroupQueue } from './group-state.ts';
import { addRun, type LeaseContext } from './lease-context.ts';
import type { LeaseGroup } from './lease-group.ts';
import type { LeaseQueue } from './lease-queue.ts';

/** What cannot be moved now is tried again after this time. */
const MOVE_AGAIN_MS = 1_000;
/** For so long a successor, of this thread or of the group's terms, waits for what was being moved. */
const MOVE_MS = 10_000;

/** What is to become of a lease. */
interface Ending {
  readonly queue: LeaseQueue;
  readonly offset: number;
  readonly token: number;
  /** Its new token (0: nobody's) until a time; a time that has passed gives it back. */
  readonly keep?: { readonly token: number; readonly until: number };
  /** It never reached anybody: the delivery does not count. */
  readonly unheard?: boolean;
  /** Otherwise it moves elsewhere. */
  readonly delayMs: number;
  readonly deadLetter: boolean;
}

export class LeaseEnds {
  private readonly context: LeaseContext;
  private readonly due: number[] = [];
  private moving = 0;

  constructor(context: LeaseContext) {
    this.context = context;
  }

  /** Messages on their way to retry topics and dead letters. */
  get underWay(): number {
    return this.moving;
  }

  /** Journal, then effect; the answer waits for messages that move elsewhere. */
  async settle(group: LeaseGroup | undefined, { queues }: Settle): Promise<Settled> {
    const stale: number[][] = queues.map(() => []);
    if (group === undefined) {
      queues.forEach(({ acks, nacks, extensions }, i) => {
        stale[i].push(...everyNth(acks, 2), ...everyNth(nacks, 3), ...everyNth(extensions, 3));
      });
      return { stale };
    }
    const endings: Ending[] = [];
    const changes: ProgressChange[] = [];
    const owned: (LeaseQueue | undefined)[] = [];
    queues.forEach((entry, i) => {
      const queue = group.queue(entry.topic, entry.partition);
      owned.push(queue);
      const acked = acknowledged(queue, entry.acks, stale[i]);
      if (queue && acked.length > 0) changes.push({ queue: queue.queue, acked });
      this.endings(group, queue, entry, stale[i], endings);
    });
    if (changes.length > 0) this.context.book.add(changes);
    for (const { queue, acked = [] } of changes) ack(owned, queue, acked);
    await this.end(group, endings);
    for (const queue of owned) queue?.regulate();
    group.serve();
    return { stale };
  }

  /** Leases that have run out: delivered again, or (after the last attempt) to the dead letters. */
  expire(group: LeaseGroup, nowMs: number): void {
    const { due } = this;
    const { attemptsMax } = this.context.book.settings(group.name);
    for (const queue of group.all) {
      const { window } = queue;
      due.length = 0;
      window.expired(nowMs, due);
      for (const offset of due) {
        const deliveries = window.deliveriesOf(offset);
        // A move that was under way when the group's terms changed has acknowledged it.
        if (queue.queue.progress.contains(offset)) window.ack(offset);
        else if (deliveries < attemptsMax) window.giveBack(offset);
        else
          void this.move(group, queue, offset, 0, true, `its lease ran out, delivery ${deliveries} of ${attemptsMax}`);
      }
    }
  }

  private endings(
    group: LeaseGroup,
    queue: LeaseQueue | undefined,
    { nacks, extensions }: Settle['queues'][number],
    stale: number[],
    endings: Ending[],
  ): void {
    const now = this.context.clock();
    const { attemptsMax, retryDelaysMs } = this.context.book.settings(group.name);
    for (let at = 0; at < nacks.length; at += 3) {
      const [offset, token, asked] = [nacks[at], nacks[at + 1], nacks[at + 2]];
      if (!queue?.window.holds(offset, token)) {
        stale.push(offset);
        continue;
      }
      const deliveries = queue.window.deliveriesOf(offset);
      const delayMs = asked >= 0 ? asked : (retryDelaysMs[Math.min(deliveries, retryDelaysMs.length) - 1] ?? 0);
      const deadLetter = deliveries >= attemptsMax;
      const inPlace = !deadLetter && group.order !== 'none' && queue.window.isOrdered(offset);
      const rest = { queue, offset, token, delayMs, deadLetter };
      endings.push(inPlace ? { ...rest, keep: { token: 0, until: now + delayMs } } : rest);
    }
    for (let at = 0; at < extensions.length; at += 3) {
      const [offset, token, forMs] = [extensions[at], extensions[at + 1], extensions[at + 2]];
      if (!queue?.window.holds(offset, token)) stale.push(offset);
      else {
        const keep = { token: forMs > 0 ? token : 0, until: now + Math.max(forMs, 0) };
        endings.push({ queue, offset, token, keep, unheard: forMs < 0, delayMs: 0, deadLetter: false });
      }
    }
  }

  private async end(group: LeaseGroup, endings: readonly Ending[]): Promise<void> {
    const runs: number[] = [];
    for (const { queue, offset, keep, unheard } of endings) {
      if (keep === undefined) continue;
      const deliveries = queue.window.deliveriesOf(offset) - (unheard ? 1 : 0);
      addRun(runs, queue.queue, offset, keep.token, keep.until, deliveries);
    }
    if (runs.length > 0) this.context.write(group.name, runs);
    const now = this.context.clock();
    const { attemptsMax } = this.context.book.settings(group.name);
    const moves: Promise<void>[] = [];
    for (const { queue, offset, token, keep, unheard, delayMs, deadLetter } of endings) {
      const { window } = queue;
      // Named twice in one call.
      if (!window.holds(offset, token)) continue;
      if (keep === undefined) moves.push(this.move(group, queue, offset, delayMs, deadLetter, 'it was refused'));
      else if (unheard) window.giveBack(offset, false);
      else if (keep.until <= now && window.deliveriesOf(offset) < attemptsMax) window.giveBack(offset);
      // After its last attempt it ends as if its time had run out: expire() comes by.
      else window.keep(offset, keep.token, keep.until);
    }
    await Promise.all(moves);
  }

  /** Never rejects: what cannot be moved is delivered again here. */
  private async move(
    group: LeaseGroup,
    { queue, window }: LeaseQueue,
    offset: number,
    delayMs: number,
    deadLetter: boolean,
    reason: string,
  ): Promise<void> {
    const { topic, partition, progress } = queue;
    const attempts = window.deliveriesOf(offset);
    window.move(offset, this.context.clock() + MOVE_MS);
    this.moving++;
    try {
      await this.context.retries.sendBack({
        group: group.name,
        topic: group.topic.topic,
        member: '',
        queue: { topic, partition },
        epoch: queue.route?.epoch ?? progress.epoch,
        offset,
        attempts,
        delayMs,
        deadLetter,
        reason,
      });
      window.ack(offset);
    } catch (error) {
      this.notMoved(group, queue, window, offset, deadLetter, error);
    } finally {
      this.moving--;
    }
  }

  private notMoved(
    group: LeaseGroup,
    queue: GroupQueue,
    window: LeaseWindow,
    offset: number,
    deadLetter: boolean,
    error: unknown,
  ): void {
    const { topic, partition } = queue;
    const what = `group ${group.name}: offset ${offset} of ${topic}/${partition}`;
    const code = error instanceof RingmqError ? error.code : 'internal';
    if (deadLetter && code === 'not-found') {
      // There is nothing left that could be kept, and it has had its attempts.
      this.context.warn(`${what} is not kept any more, and cannot go to the dead letters: it counts as acknowledged`);
      window.ack(offset);
      group.passed(queue, [offset, offset + 1]);
      return;
    }
    if (code !== 'shutting-down') this.context.warn(`${what} cannot be moved and is delivered again: ${String(error)}`);
    window.keep(offset, 0, this.context.clock() + MOVE_AGAIN_MS);
  }
}

/** Ranges of what is held and acknowledged; what is not held is stale. */
function acknowledged(queue: LeaseQueue | undefined, acks: readonly number[], stale: number[]): number[] {
  const offsets: number[] = [];
  let ascends = true;
  for (let at = 0; at < acks.length; at += 2) {
    const offset = acks[at];
    if (!queue?.window.holds(offset, acks[at + 1])) {
      stale.push(offset);
      continue;
    }
    if (offsets.length > 0 && offsets[offsets.length - 1] >= offset) ascends = false;
    offsets.push(offset);
  }
  if (!ascends) offsets.sort((a, b) => a - b);
  const ranges: number[] = [];
  for (const offset of offsets) {
    const end = ranges.length - 1;
    if (end > 0 && ranges[end] >= offset) ranges[end] = offset + 1;
    else ranges.push(offset, offset + 1);
  }
  return ranges;
}

function ack(owned: readonly (LeaseQueue | undefined)[], queue: GroupQueue, ranges: readonly number[]): void {
  const own = owned.find((one) => one?.queue === queue);
  for (let at = 0; at < ranges.length; at += 2) {
    for (let offset = ranges[at]; offset < ranges[at + 1]; offset++) own?.window.ack(offset);
  }
}

function everyNth(values: readonly number[], nth: number): number[] {
  return values.filter((_, i) => i % nth === 0);
}
