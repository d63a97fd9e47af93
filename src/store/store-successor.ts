// What a store thread runs. The first one goes on where the start of the broker found the end of the log; a successor
// of one that died looks for it in the files. Where the disk fails just then, it comes up as a store that has failed:
// what is in memory and in readable segments stays readable, publishers are told, and the broker lives (ADR 7,
// "Failure").
//
// Who writes: see store-agent.ts.
// I1  Nothing is written behind a log that has less than was acknowledged.
import { CONTROL_STATES, SEAT_FIRST_WORKER, SEAT_STATES } from '../../native-layout/control.ts';
import { STORE_STATES, STORE_WRITTEN_LOW } from '../../native-layout/store.ts';
import { CODES, RingmqError } from '../base/codes.ts';
import type { Disk } from '../log/disk.ts';
import { isDiskFull, LogWriter } from '../log/log-writer.ts';
import { recoverLog } from '../log/recovery.ts';
import { queueKey, type RecoveredLog } from '../log/run.ts';
import { Bells } from '../memory/bell.ts';
import type { StoreRegion } from '../memory/regions.ts';
import { beat, brokerState, routeVersion, seatState } from '../memory/seats.ts';
import { setStoreState, storeNumber, storeState } from '../memory/store-state.ts';
import type { Agent } from '../thread/agent.ts';
import { isDiskError } from './disk-error.ts';
import { Journals } from './journals.ts';
import { StoreAgent } from './store-agent.ts';
import type { StoreContext } from './store-context.ts';

/** Without what is opened here. */
export interface StoreOptions extends Omit<StoreContext, 'writer' | 'logNext'> {
  readonly segmentBytes: number;
  /** Milliseconds since 1970. */
  readonly clock: () => number;
}

/** An agent that is closed when it has finished. */
export type ClosableAgent = Agent & { close(): void };

/** Between two attempts to open the log where there was no room, and most attempts where files vanished meanwhile. */
const RETRY_MS = 500;
const VANISHED_MAX = 5;

type Open = (found: RecoveredLog) => StoreAgent;

/**
 * `recovered`: what the start of the broker found; for the first thread only, and what fails there fails the start.
 * `open` makes the agent that writes.
 */
export function openStore(
  options: StoreOptions,
  recovered: RecoveredLog | undefined,
  open: Open = (found) => new StoreAgent(storeContext(options, found)),
): ClosableAgent {
  if (recovered === undefined) return new StoreSuccessor(options, open);
  try {
    return open(recovered);
  } catch (error) {
    // A disk that fails here fails for good: it tells of lost writes once, and the next try would find nothing wrong.
    if (isFailure(error)) setStoreState(options.regions.store, STORE_STATES.failed, CODES['store-failed'].number);
    throw error;
  }
}

/** Opens the log. */
export function storeContext(options: StoreOptions, found: RecoveredLog): StoreContext {
  const { disk, mode, segmentBytes, generation, clock } = options;
  const next = new Map(found.queues.map((queue) => [queueKey(queue.topicId, queue.partition), queue.nextOffset]));
  const writer = new LogWriter(disk, { mode, segmentBytes, generation, clock }, found);
  const logNext = (topicId: number, partition: number): number => next.get(queueKey(topicId, partition)) ?? 0;
  return { ...options, writer, logNext };
}

class StoreSuccessor implements ClosableAgent {
  readonly name = 'store';
  private readonly options: StoreOptions;
  private readonly open: Open;
  private agent: StoreAgent | undefined;
  /** Once the store has failed: topics are still deleted, and their partitions must be let go of. */
  private journals: Journals | undefined;
  private retryAt = 0;
  private vanished = 0;
  private isFull = false;
  private routeSeen = -1;

  constructor(options: StoreOptions, open: Open) {
    this.options = options;
    this.open = open;
    // The predecessor failed before it died: nothing is tried again.
    if (storeState(options.regions.store) === STORE_STATES.failed) this.journals = this.makeJournals();
  }

  get finished(): boolean {
    if (this.agent) return this.agent.finished;
    const { control, sizes } = this.options.regions;
    if (brokerState(control) < CONTROL_STATES.stopped || !this.journals) return false;
    const seats = Array.from({ length: sizes.workerCount }, (_, i) => SEAT_FIRST_WORKER + i);
    return seats.every((seat) => seatState(control, seat) !== SEAT_STATES.taken);
  }

  get pending(): Promise<void> | undefined {
    return this.agent?.pending;
  }

  work(nowMs: number): number {
    if (this.agent) return this.agent.work(nowMs);
    if (this.journals) return this.letGo(this.journals);
    return nowMs < this.retryAt ? 0 : this.tryOpen(nowMs);
  }

  housekeep(nowMs: number): void {
    if (this.agent) {
      this.agent.housekeep(nowMs);
      return;
    }
    beat(this.options.regions.control, this.options.seat);
    this.options.hear();
    this.journals?.reach();
  }

  close(): void {
    this.agent?.close();
  }

  private letGo(journals: Journals): number {
    const version = routeVersion(this.options.regions.control);
    if (version !== this.routeSeen) journals.followRoutes();
    this.routeSeen = version;
    return journals.take();
  }

  private tryOpen(nowMs: number): number {
    const { disk, regions, report } = this.options;
    try {
      this.agent = this.open(rediscover(disk, regions.store));
      if (this.isFull) report({ type: 'room' });
      return 1;
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      // Retention removes segments meanwhile.
      const hasVanished = code === 'ENOENT' && ++this.vanished <= VANISHED_MAX;
      if (hasVanished) return 1;
      const isStopping = brokerState(regions.control) >= CONTROL_STATES.stopped;
      if (isDiskFull(error) && !isStopping) this.waitForRoom(error as Error, nowMs);
      else this.fail(error);
      return 0;
    }
  }

  private waitForRoom(error: Error, nowMs: number): void {
    this.retryAt = nowMs + RETRY_MS;
    if (this.isFull) return;
    this.isFull = true;
    setStoreState(this.options.regions.store, STORE_STATES.full, CODES['disk-full'].number);
    this.options.report({ type: 'full', error });
    this.ringWorkers();
  }

  private fail(error: unknown): void {
    // An error of ours is no failure of the disk: the thread dies.
    if (!isFailure(error) && !isDiskFull(error)) throw error;
    this.journals = this.makeJournals();
    setStoreState(this.options.regions.store, STORE_STATES.failed, CODES['store-failed'].number);
    this.options.report({ type: 'failed', error: error as Error });
    this.ringWorkers();
  }

  private makeJournals(): Journals {
    const { regions, arenas, hear, wantArenas } = this.options;
    return new Journals({ regions, arenas, bells: new Bells(regions.control), logNext: () => 0, hear, wantArenas });
  }

  private ringWorkers(): void {
    const { control, sizes } = this.options.regions;
    const bells = new Bells(control);
    for (let i = 0; i < sizes.workerCount; i++) bells.ring(SEAT_FIRST_WORKER + i);
  }
}

/** What the log has by now. Throws the disk's error, or `log-corrupt` (I1). */
function rediscover(disk: Disk, store: StoreRegion): RecoveredLog {
  const found = recoverLog(disk, { onDamage: 'stop', ringBytesMax: 0, writeIndexes: false });
  const written = storeNumber(store, STORE_WRITTEN_LOW);
  if (found.end >= written) return found;
  const text = `the log in ${disk.folder} ends at ${found.end} and was written up to ${written}: files are missing`;
  throw new RingmqError('log-corrupt', text);
}

/** The disk fails, or what was written is not there any more. */
function isFailure(error: unknown): boolean {
  if (error instanceof RingmqError) return error.code === 'log-corrupt';
  return isDiskError(error) && !isDiskFull(error);
}
