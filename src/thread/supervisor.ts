// Starts the server threads, restarts the ones that die, clears up after threads that took part and ended, and stops
// everything in order. Runs on the thread that called startBroker(); it holds no data and is on no message's way.
import type { Worker } from 'node:worker_threads';
import {
  CONTROL_STATES,
  SEAT_COORDINATOR,
  SEAT_FIRST_FREE,
  SEAT_FIRST_WORKER,
  SEAT_LOG_READER,
  SEAT_NAMESERVER,
  SEAT_STATES,
  SEAT_STORE,
  SEATS_MAX,
} from '../../native-layout/control.ts';
import { PARTITION_STATES } from '../../native-layout/partition-table.ts';
import { CODES, type CodeName, RingmqError } from '../base/codes.ts';
import type { Log } from '../base/log.ts';
import { ArenaSet } from '../memory/arena.ts';
import { Bells } from '../memory/bell.ts';
import { partitionState, readIdentity } from '../memory/partition-entry.ts';
import type { ArenaEntry, Attachment } from '../memory/regions.ts';
import { releaseSlotsOf } from '../memory/ring-reader.ts';
import {
  brokerState,
  burySeat,
  openLanes,
  partitionsUsed,
  releaseSeat,
  seatState,
  seatsOfThread,
  setBrokerState,
} from '../memory/seats.ts';
import { type Announcement, Announcements } from './announcements.ts';
import { type ServerThread, spawnThread } from './spawn.ts';
import { reportThreadEnds, stopReporting } from './thread-ends.ts';
import type { ThreadReport } from './worker-data.ts';

/** A server thread to be run and kept running. */
export interface ThreadPlan {
  readonly name: ServerThread;
  /** Seat that the thread claims by number, or -1 if it claims any. */
  readonly seat: number;
  /** Made anew for every start, so that a successor gets what is known by then. */
  readonly workerData: (attachment: Attachment) => unknown;
  readonly onMessage?: (message: { readonly type: string }) => void;
}

interface Running {
  readonly plan: ThreadPlan;
  worker: Worker;
  threadId: number;
  starts: number[];
  ready: Promise<unknown>;
  /** It was asked to end: it is not started again. */
  ending: boolean;
}

const STOP_ORDER: readonly ServerThread[] = ['broker', 'store', 'log-reader', 'nameserver'];

const RESTARTS_MAX = 5;
const RESTART_WINDOW_MS = 10_000;
const RESTART_DELAY_MS = 20;
const SWEEP_MS = 50;
/** The server threads need a moment to close the lanes of a seat that was given up. */
const SWEEP_SOON_MS = 2;

export class Supervisor {
  private readonly base: Attachment;
  private readonly log: Log;
  private readonly control: Int32Array;
  private readonly table: Int32Array;
  private readonly bells: Bells;
  private readonly arenas = new Map<number, ArenaEntry>();
  private readonly announcements: Announcements;
  private readonly running: Running[] = [];
  private readonly sweeper: NodeJS.Timeout;
  private readonly onGivenUp: (error: Error) => void;
  private readonly report = (threadId: number): void => this.threadEnded(threadId);
  /** Seats with lanes that other threads write into. */
  private readonly servers: readonly number[];
  /** Times that a server thread was started again after it died. */
  restarts = 0;

  constructor(attachment: Attachment, log: Log, onGivenUp: (error: Error) => void) {
    this.base = attachment;
    this.log = log;
    this.onGivenUp = onGivenUp;
    this.control = new Int32Array(attachment.control);
    this.table = new Int32Array(attachment.table);
    this.bells = new Bells(this.control);
    const workers = Array.from({ length: attachment.sizes.workerCount }, (_, i) => SEAT_FIRST_WORKER + i);
    this.servers = [SEAT_NAMESERVER, ...workers, SEAT_STORE, SEAT_LOG_READER, SEAT_COORDINATOR];
    for (const arena of attachment.arenas) this.arenas.set(arena.id, arena);
    this.announcements = new Announcements(attachment.id, new ArenaSet(), (said) => this.heard(said));
    reportThreadEnds(this.report);
    this.sweeper = setInterval(() => this.sweep(), SWEEP_MS);
    this.sweeper.unref();
  }

  /** What a thread needs to take part, as of now. */
  get attachment(): Attachment {
    return { ...this.base, arenas: [...this.arenas.values()] };
  }

  /** Starts a thread and resolves with its first message. Rejects if it dies before. */
  async start(plan: ThreadPlan): Promise<unknown> {
    const running: Running = {
      plan,
      worker: undefined as never,
      threadId: 0,
      starts: [],
      ready: Promise.resolve(),
      ending: false,
    };
    this.running.push(running);
    this.launch(running);
    return running.ready;
  }

  /** Threads by name, for tests and for `doctor`. */
  threadsOf(name: ServerThread): Worker[] {
    return this.running.filter((one) => one.plan.name === name).map((one) => one.worker);
  }

  /** Tells all threads of one kind something. */
  tell(name: ServerThread, message: unknown): void {
    for (const worker of this.threadsOf(name)) worker.postMessage(message);
  }

  /** Ends all threads of one kind in order: `ask` says so to them, and those that do not end in time are terminated. */
  async end(name: ServerThread, ask: () => void, withinMs: number): Promise<void> {
    const ending = this.running.filter((one) => one.plan.name === name);
    for (const one of ending) one.ending = true;
    const ended = Promise.all(ending.map((one) => this.exitOf(one)));
    ask();
    const timer = setTimeout(() => {
      for (const one of ending) {
        this.log.warn({ thread: name }, 'thread did not end in time: terminating it');
        void one.worker.terminate();
      }
    }, withinMs);
    await ended;
    clearTimeout(timer);
  }

  /**
   * Last step of a stop: attached threads are told and the server threads end, each kind after those that it serves:
   * the workers when no ack waits any more, the store when it has written all rings, the log reader when it knows what
   * was written. Until its turn comes a thread that dies is started again. Then everything is let go.
   */
  async finish(withinMs: number): Promise<void> {
    this.announcements.say({ type: 'stopped' });
    setBrokerState(this.control, CONTROL_STATES.stopped);
    const ring = (): void => {
      for (let seat = 0; seat < SEATS_MAX; seat++) this.bells.ring(seat);
    };
    for (const name of STOP_ORDER) await this.end(name, ring, withinMs);
    clearInterval(this.sweeper);
    stopReporting(this.report);
    this.announcements.close();
  }

  private launch(running: Running): void {
    const { plan } = running;
    running.starts.push(performance.now());
    const worker = spawnThread(plan.name, plan.workerData(this.attachment));
    running.worker = worker;
    running.threadId = worker.threadId;
    running.ready = new Promise((resolve, reject) => {
      worker.on('message', (message: { readonly type: string }) => {
        if (message.type === 'report') {
          this.pass(plan.name, message as ThreadReport);
          return;
        }
        if (message.type === 'failed') reject(restoreError(message));
        else if (message.type !== 'files') resolve(message);
        plan.onMessage?.(message);
      });
      worker.once('error', reject);
      worker.once('exit', (code) =>
        reject(new Error(`the ${plan.name} thread ended with ${code} before it was ready`)),
      );
    });
    running.ready.catch(() => {});
    worker.on('error', (error) => this.log.error({ err: error, thread: plan.name }, 'thread died'));
    worker.once('exit', (code) => this.exited(running, code));
  }

  private pass(thread: ServerThread, { level, text, fields }: ThreadReport): void {
    this.log[level]({ thread, ...fields }, text);
  }

  private exited(running: Running, code: number): void {
    const { plan } = running;
    this.threadEnded(running.threadId);
    if (plan.seat >= 0) releaseSeat(this.control, plan.seat);
    const hasFinished = code === 0 && brokerState(this.control) >= CONTROL_STATES.stopped;
    // A client of the broker cannot join one that stops.
    const comesTooLate = plan.name === 'coordinator' && brokerState(this.control) >= CONTROL_STATES.stopping;
    if (running.ending || hasFinished || comesTooLate) return;
    const since = performance.now() - RESTART_WINDOW_MS;
    running.starts = running.starts.filter((at) => at > since);
    if (running.starts.length > RESTARTS_MAX) {
      this.log.fatal({ thread: plan.name }, 'thread keeps dying: giving up');
      this.onGivenUp(
        new Error(`the ${plan.name} thread died ${running.starts.length} times within ${RESTART_WINDOW_MS} ms`),
      );
      return;
    }
    this.restarts++;
    this.log.warn({ thread: plan.name, code }, 'thread ended: starting it again');
    setTimeout(() => {
      if (!running.ending) this.launch(running);
    }, RESTART_DELAY_MS);
  }

  private exitOf(running: Running): Promise<void> {
    return new Promise((resolve) => {
      if (running.worker.threadId === -1) resolve();
      else running.worker.once('exit', () => resolve());
    });
  }

  private heard(said: Announcement): void {
    if (said.type === 'arena') this.arenas.set(said.arena.id, said.arena);
    else if (said.type === 'arena-gone') this.arenas.delete(said.id);
    else if (said.type === 'seat-left') setTimeout(() => this.sweep(), SWEEP_SOON_MS).unref();
    else if (said.type === 'thread-ended') this.threadEnded(said.threadId);
    else if (said.type === 'arenas-wanted') {
      for (const arena of this.arenas.values()) this.announcements.say({ type: 'arena', arena });
    }
  }

  /**
   * A thread has ended: its readers' slots are freed at once, its seats when their lanes have been drained. Fixed seats
   * keep their slots: the successor of a store thread takes its cursors over.
   */
  private threadEnded(threadId: number): void {
    if (threadId <= 0) return;
    for (const seat of seatsOfThread(this.control, threadId)) {
      if (seat < SEAT_FIRST_FREE) continue;
      let slots = 0;
      for (let partition = 0; partition < partitionsUsed(this.control); partition++) {
        if (partitionState(this.table, partition) === PARTITION_STATES.free) continue;
        const released = releaseSlotsOf(this.table, partition, seat);
        slots += released;
        // A direct partition's writer is no server thread, and may wait for this reader.
        const owner = released > 0 ? readIdentity(this.table, partition)?.owner : undefined;
        if (owner !== undefined) this.bells.rouse(owner);
      }
      burySeat(this.control, seat);
      this.log.info({ seat, threadId, slots }, 'a thread that took part has ended: cleared up');
      for (const server of this.servers) this.bells.rouse(server);
      this.dropArenasOf(seat);
    }
  }

  private dropArenasOf(seat: number): void {
    for (const arena of this.arenas.values()) {
      if (arena.owner !== seat) continue;
      this.arenas.delete(arena.id);
      this.announcements.say({ type: 'arena-gone', id: arena.id });
    }
  }

  /** Seats of threads that have ended or left, whose lanes every server thread has closed, can be taken again. */
  private sweep(): void {
    for (let seat = SEAT_FIRST_FREE; seat < SEATS_MAX; seat++) {
      if (seatState(this.control, seat) === SEAT_STATES.dead && !this.laneOpen(seat)) releaseSeat(this.control, seat);
    }
  }

  private laneOpen(seat: number): boolean {
    const half = (seat >> 5) as 0 | 1;
    return this.servers.some((server) => (openLanes(this.control, server, half) & (1 << (seat & 31))) !== 0);
  }
}

function restoreError(message: object): Error {
  const { code, text } = message as { code?: string; text?: string };
  if (code?.startsWith('E')) return Object.assign(new Error(text), { code });
  return new RingmqError(code !== undefined && Object.hasOwn(CODES, code) ? (code as CodeName) : 'internal', text);
}
