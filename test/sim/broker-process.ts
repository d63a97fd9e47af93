// One life of a simulated broker process: its threads, and what the supervisor does for them. Recovery, threads in
// order, successors of threads that died, an orderly stop: as src/server/ and src/thread/supervisor.ts have it.
import {
  CONTROL_STATES,
  SEAT_COORDINATOR,
  SEAT_FIRST_WORKER,
  SEAT_LOG_READER,
  SEAT_NAMESERVER,
  SEAT_STORE,
} from '../../native-layout/control.ts';
import type { FrontEnd } from '../../src/frontend/front-end.ts';
import { recoverLog } from '../../src/log/recovery.ts';
import type { RecoveredLog } from '../../src/log/run.ts';
import { ArenaSet } from '../../src/memory/arena.ts';
import { Bells } from '../../src/memory/bell.ts';
import {
  type ArenaEntry,
  type Attachment,
  attachRegions,
  createRegions,
  type Regions,
} from '../../src/memory/regions.ts';
import { releaseSeat, setBrokerState } from '../../src/memory/seats.ts';
import type { TopicRecord } from '../../src/nameserver/directory.ts';
import { isDiskError } from '../../src/store/disk-error.ts';
import type { StoreContext } from '../../src/store/store-context.ts';
import { HOUSEKEEP_MS } from '../../src/thread/agent.ts';
import { type Announcement, Announcements } from '../../src/thread/announcements.ts';
import type { Participant } from '../../src/thread/participant.ts';
import { bury, sweepSeats } from './burial.ts';
import { type CoordinatorSabotage, CoordinatorThread } from './coordinator-thread.ts';
import { closeFrontEnd, type FrontEndThread, startFrontEnd } from './front-end-thread.ts';
import type { Network } from './network.ts';
import {
  type BrokerSettings,
  type DataFolder,
  type Life,
  SIZES,
  type Started,
  startLogReader,
  startNameServer,
  startStore,
  startWorker,
} from './server-threads.ts';
import { ProcessKilled, ThreadDied } from './sim-disk.ts';
import type { World } from './world.ts';

const RESTART_DELAY_MS = 20;
const COORDINATOR_RESTART_MS = 400;
const RESTARTS_MAX = 5;
const SWEEP_MS = 50;
const START_GAP_MS = 4;

let lives = 0;

/** A server thread, alive or about to be. */
interface ServerThread {
  readonly name: string;
  readonly seat: number;
  readonly start: () => Started;
  running: Started | undefined;
  /** Not before. */
  startAt: number;
  housekeepAt: number;
  failedStarts: number;
  ended: boolean;
}

/** What a test makes of a process. */
export interface ProcessOptions extends CoordinatorSabotage {
  /** Only to see that it is found out. */
  readonly store?: (context: StoreContext) => StoreContext;
  /** It has a coordinator. Default false. */
  readonly coordinator?: boolean;
}

export class BrokerProcess {
  readonly regions: Regions;
  readonly recovered: RecoveredLog;
  readonly threads: ServerThread[];
  frontEnd: FrontEndThread | undefined;
  /** One more thread, which takes its turns with the supervisor's. */
  guest: (() => Promise<void>) | undefined;
  private coordinator: CoordinatorThread | undefined;
  private readonly options: ProcessOptions;
  private readonly world: World;
  private readonly network: Network;
  private readonly base: Attachment;
  private readonly arenas = new Map<number, ArenaEntry>();
  private readonly announcements: Announcements;
  private readonly bells: Bells;
  private readonly life: Life;
  private state: 'starting' | 'running' | 'stopping' | 'stopped' = 'starting';
  private startedThreads = 0;
  private startNextAt = 0;
  private sweepAt = 0;
  private frontEndAt = 0;
  private coordinatorAt = 0;
  private coordinatorStarts = 0;
  private closing: Promise<void> | undefined;
  /** Front ends that died. */
  private readonly buried: FrontEnd[] = [];
  /** Clients that dead coordinators were. */
  private readonly corpses: Participant[] = [];

  /** Recovers; throws what recoverLog() throws, or ProcessKilled. */
  constructor(
    world: World,
    network: Network,
    folder: DataFolder,
    settings: BrokerSettings,
    options: ProcessOptions = {},
  ) {
    this.world = world;
    this.options = options;
    this.network = network;
    const { ringBytes } = settings;
    this.recovered = recoverLog(folder.disk, { onDamage: 'stop', ringBytesMax: ringBytes / 2 });
    const { end, clean, queues, report } = this.recovered;
    const ends = queues.map((one) => `${one.topicId}/${one.partition}:${one.oldestOffset}-${one.nextOffset}`);
    world.trace.add(`recovered end=${end} clean=${clean} cut=${report.cutBytes} ${ends.join(' ')}`);
    this.base = createRegions(`sim-${++lives}`, { ...SIZES, workerCount: settings.workers });
    this.regions = attachRegions(this.base);
    this.bells = new Bells(this.regions.control);
    this.announcements = new Announcements(this.base.id, new ArenaSet(), (said) => this.heard(said));
    const topics = new Map<string, TopicRecord>();
    const generation = folder.meta.nextGeneration();
    this.life = {
      settings,
      folder,
      generation,
      recovered: this.recovered,
      attachment: () => this.attachment,
      topics,
      clock: world.wallMs,
      say: (text) => world.trace.add(`says ${text}`),
      sabotage: options.store ?? ((context) => context),
    };
    this.threads = this.plan(settings.workers);
  }

  get attachment(): Attachment {
    return { ...this.base, arenas: [...this.arenas.values()] };
  }

  get running(): boolean {
    return this.state === 'running';
  }

  get stopped(): boolean {
    return this.state === 'stopped' && this.threads.every((one) => one.ended);
  }

  /** One turn of a server thread. Returns how much it did. Throws what is no way for a thread to die. */
  turn(thread: ServerThread): number {
    if (thread.ended || this.world.nowMs < thread.startAt) return 0;
    try {
      const did = this.turnOrDie(thread);
      if (!this.life.folder.disk.died) return did;
    } catch (error) {
      if (!(error instanceof ThreadDied)) throw error;
    }
    this.life.folder.disk.died = false;
    this.kill(thread);
    return 0;
  }

  /** The thread dies. Its successor comes a little later. */
  kill(thread: ServerThread): void {
    this.world.trace.add(`${thread.name} dies`);
    this.life.folder.disk.landAll();
    thread.running?.letGo();
    thread.running = undefined;
    releaseSeat(this.regions.control, thread.seat);
    thread.startAt = this.world.nowMs + RESTART_DELAY_MS;
  }

  killFrontEnd(): void {
    const { frontEnd } = this;
    if (!frontEnd) return;
    this.world.trace.add('front end dies');
    frontEnd.loop.end();
    this.network.serverGone();
    frontEnd.frontEnd.participant.announcements.close();
    this.bury(frontEnd.frontEnd.participant.seat);
    this.buried.push(frontEnd.frontEnd);
    this.frontEnd = undefined;
    this.frontEndAt = this.world.nowMs + RESTART_DELAY_MS;
  }

  /** The supervisor's turn. */
  async supervise(): Promise<void> {
    this.announcements.poll();
    await this.guest?.();
    if (this.world.nowMs >= this.sweepAt) this.sweep();
    if (this.state === 'starting') this.startMore();
    const { nowMs } = this.world;
    const hasWorkers = this.startedThreads === this.threads.length && ['starting', 'running'].includes(this.state);
    if (this.options.coordinator && hasWorkers && !this.coordinator && nowMs >= this.coordinatorAt) {
      await this.startCoordinator();
    }
    if (this.state === 'running' && !this.frontEnd && nowMs >= this.frontEndAt) await this.startFrontEnd();
  }

  /** One turn of the coordinator's event loop. */
  async turnCoordinator(): Promise<void> {
    const { coordinator, life } = this;
    if (!coordinator) return;
    await coordinator.turn();
    if (this.coordinator !== coordinator) return;
    if (coordinator.ready) this.coordinatorStarts = 0;
    const disk = life.folder.coordinator;
    if (!disk.died && !coordinator.failed) return;
    disk.died = false;
    this.killCoordinator();
  }

  killCoordinator(): void {
    const { coordinator } = this;
    if (!coordinator) return;
    this.world.trace.add('coordinator dies');
    const left = coordinator.die();
    if (left) {
      this.bury(left.seat);
      this.corpses.push(left);
    }
    this.coordinator = undefined;
    releaseSeat(this.regions.control, SEAT_COORDINATOR);
    this.coordinatorAt = this.world.nowMs + COORDINATOR_RESTART_MS;
  }

  /** Orderly stop: a client of the broker, before all that it uses. */
  async stopCoordinator(): Promise<void> {
    await this.coordinator?.stop();
  }

  /** It has ended in order, or is none any more. */
  get coordinatorEnded(): boolean {
    return this.coordinator?.ended ?? true;
  }

  /** One turn of the front end's event loop. */
  async turnFrontEnd(): Promise<void> {
    const { frontEnd } = this;
    if (!frontEnd) return;
    // The event loop would deliver them.
    await this.world.turn(frontEnd.loop, () => frontEnd.frontEnd.participant.announcements.poll());
    if (this.frontEnd === frontEnd) await this.world.turnLoop(frontEnd.loop);
  }

  /** Orderly stop, first half: front ends drain and close. Applications close their connections meanwhile. */
  beginStop(): void {
    this.world.trace.add('stop begins');
    this.state = 'stopping';
    setBrokerState(this.regions.control, CONTROL_STATES.stopping);
  }

  /** Resolves when the front end is closed. To be called in turns of the front end's thread. */
  closeFrontEnd(): void {
    const { frontEnd, network } = this;
    if (!frontEnd || this.closing) return;
    this.closing = closeFrontEnd(frontEnd, network).then(() => {
      this.frontEnd = undefined;
    });
  }

  /** Orderly stop, second half: the server threads end, each when it has done its work. */
  finishStop(): void {
    this.world.trace.add('stop finishes');
    this.announcements.say({ type: 'stopped' });
    setBrokerState(this.regions.control, CONTROL_STATES.stopped);
    this.state = 'stopped';
  }

  /** After the process has ended: nothing of it may be heard of again. */
  dispose(): void {
    this.state = 'stopped';
    setBrokerState(this.regions.control, CONTROL_STATES.stopped);
    this.network.serverGone();
    if (this.frontEnd) {
      this.frontEnd.loop.end();
      this.buried.push(this.frontEnd.frontEnd);
    }
    for (const one of this.buried) one.close();
    const left = this.coordinator?.die();
    if (left) this.corpses.push(left);
    this.coordinator = undefined;
    for (const one of this.corpses.splice(0)) one.close();
    for (const thread of this.threads) thread.running?.letGo();
    this.announcements.close();
  }

  /** A thread that took part has ended. */
  bury(seat: number): void {
    bury(this.regions, this.bells, seat);
  }

  private turnOrDie(thread: ServerThread): number {
    const now = this.world.wallMs();
    if (!thread.running) {
      // Threads are started in order; one that died is started again.
      if (this.threads.indexOf(thread) >= this.startedThreads) return 0;
      this.world.trace.add(`${thread.name} starts`);
      // The supervisor's event loop has turned since the predecessor's end: it knows of all its arenas.
      this.announcements.poll();
      this.startThread(thread);
      thread.housekeepAt = now;
      return 1;
    }
    const { agent } = thread.running;
    if (agent.finished) {
      void agent.close?.();
      thread.running.letGo();
      thread.ended = true;
      releaseSeat(this.regions.control, thread.seat);
      this.world.trace.add(`${thread.name} ends`);
      return 1;
    }
    const did = agent.work(now);
    if (now >= thread.housekeepAt) {
      agent.housekeep(now);
      thread.housekeepAt = now + HOUSEKEEP_MS;
    }
    return did;
  }

  /** A thread that cannot start for the disk's sake is tried again, and then the broker gives up. */
  private startThread(thread: ServerThread): void {
    try {
      thread.running = thread.start();
    } catch (error) {
      if (!isDiskError(error)) throw error;
      if (++thread.failedStarts > RESTARTS_MAX) throw new ProcessKilled(`${thread.name} does not start`);
      this.kill(thread);
    }
  }

  private plan(workers: number): ServerThread[] {
    const thread = (name: string, seat: number, start: () => Started): ServerThread => {
      return { name, seat, start, running: undefined, startAt: 0, housekeepAt: 0, failedStarts: 0, ended: false };
    };
    const { life } = this;
    const brokers = Array.from({ length: workers }, (_, i) => SEAT_FIRST_WORKER + i);
    return [
      thread('nameserver', SEAT_NAMESERVER, () => startNameServer(life)),
      thread('store', SEAT_STORE, () => startStore(life)),
      thread('log-reader', SEAT_LOG_READER, () => startLogReader(life)),
      ...brokers.map((seat) => thread(`broker-${seat}`, seat, () => startWorker(life, seat))),
    ];
  }

  /** Each thread when the one before it is there; the workers all at once. */
  private startMore(): void {
    if (this.world.nowMs < this.startNextAt) return;
    const started = this.threads.slice(0, this.startedThreads);
    if (started.some((one) => !one.running)) return;
    if (this.startedThreads === this.threads.length) {
      setBrokerState(this.regions.control, CONTROL_STATES.running);
      if (this.options.coordinator && !this.coordinator?.ready) return;
      this.state = 'running';
      this.world.trace.add('broker runs');
      return;
    }
    this.startedThreads = this.startedThreads < 3 ? this.startedThreads + 1 : this.threads.length;
    this.startNextAt = this.world.nowMs + this.world.random(START_GAP_MS + 1);
  }

  private async startCoordinator(): Promise<void> {
    if (++this.coordinatorStarts > RESTARTS_MAX) throw new ProcessKilled('the coordinator does not start');
    this.world.trace.add('coordinator starts');
    const coordinator = new CoordinatorThread(this.world, this.life.folder.coordinator);
    this.coordinator = coordinator;
    await coordinator.start(this.attachment, this.options);
  }

  private async startFrontEnd(): Promise<void> {
    const frontEnd = await startFrontEnd(this.world, this.attachment);
    this.frontEnd = frontEnd;
    this.network.listener = frontEnd;
    this.world.trace.add('front end listens');
  }

  private heard(said: Announcement): void {
    if (said.type === 'arena') this.arenas.set(said.arena.id, said.arena);
    else if (said.type === 'arena-gone') this.arenas.delete(said.id);
    else if (said.type === 'seat-left') this.sweepAt = 0;
    else if (said.type === 'arenas-wanted') {
      for (const arena of this.arenas.values()) this.announcements.say({ type: 'arena', arena });
    }
  }

  private sweep(): void {
    this.sweepAt = this.world.nowMs + SWEEP_MS;
    const servers = this.threads.map((one) => one.seat);
    if (this.options.coordinator) servers.push(SEAT_COORDINATOR);
    sweepSeats(this.regions, servers);
  }
}
