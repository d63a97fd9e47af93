// One simulated run: a broker with its store and coordinator, embedded and remote applications, their disk and their
// network, in one thread and out of one seed. In the manner of FoundationDB's and TigerBeetle's simulators.
//
// A turn is one agent's or one event loop's; the seed says whose is next, and now and then makes trouble. A life ends
// by kill -9, loss of power or in order; the next one begins with what it left. In the end everything is healed: what
// is under way must settle, all consumers must catch up, and the books are judged.
import { nextOffset, oldestOffset, readIdentity } from '../../src/memory/partition-entry.ts';
import { partitionsUsed } from '../../src/memory/seats.ts';
import type { Participant } from '../../src/thread/participant.ts';
import { FaultDisk } from '../support/fault-disk.ts';
import { type ApplicationContext, Auditor, EmbeddedApplication, RemoteApplication } from './applications.ts';
import { Books } from './books.ts';
import { Broad, traceOf } from './broad.ts';
import { BrokerProcess, type ProcessOptions } from './broker-process.ts';
import { Desks } from './desks.ts';
import { checkFolder } from './folder-check.ts';
import { giveRoles, makeAuditor } from './messaging.ts';
import { MessagingBooks } from './messaging-books.ts';
import { Network } from './network.ts';
import { BROAD_SEEDS, MESSAGING_SEEDS, OTHER_SEEDS, type SimOptions, type SimReport, WIDE_SEEDS } from './options.ts';
import { drawMessaging, drawPlan, type LifeEnd, type Plan, type TopicPlan } from './plan.ts';
import { drawBroad } from './plan-broad.ts';
import { drawOther } from './plan-other.ts';
import { drawWide } from './plan-wide.ts';
import type { DataFolder } from './server-threads.ts';
import { ProcessKilled, SimDisk } from './sim-disk.ts';
import { findIn, SimKeyIndex, SimMetaStore } from './sim-state.ts';
import { makeTopics } from './topics.ts';
import { Troubles } from './troubles.ts';
import { EventLoop, World } from './world.ts';

const WEIGHTS = [0, 1, 4, 4, 16];
const WEIGHT_TURNS = 300;
const TURNS_MAX = 150_000;
const SETTLE_MAX_MS = 120_000;
const STOP_MAX_MS = 30_000;
const CLOCK_STEP_MS = 3;
const CLOCK_LEAP_MS = 60;
/** A transaction of the key index takes so long. */
const KEYS_TAKE_MAX_MS = 80;

/** Somebody who takes turns. */
interface Actor {
  readonly name: string;
  weight: number;
  readonly turn: () => number | Promise<void>;
}

/** Runs a seed. */
export async function simulate(options: SimOptions): Promise<SimReport> {
  const simulation = new Simulation(options);
  const undo = simulation.world.install();
  const forget = findIn(simulation.folder.keys);
  const mend = options.sabotage?.breaks?.();
  try {
    await simulation.play();
  } catch (error) {
    simulation.books.fault(`the run ended with ${error instanceof Error ? error.stack : String(error)}`);
  } finally {
    await simulation.dispose();
    mend?.();
    forget();
    undo();
  }
  return simulation.report();
}

class Simulation {
  readonly world: World;
  readonly books: Books;
  private readonly messaging: Desks | undefined;
  private readonly broad: Broad | undefined;
  private readonly options: SimOptions;
  private readonly plan: Plan;
  private readonly network: Network;
  readonly folder: DataFolder;
  private readonly context: ApplicationContext;
  private readonly embedded: EmbeddedApplication[];
  private readonly remote: RemoteApplication[];
  private readonly troubles: Troubles;
  private broker: BrokerProcess | undefined;
  private actors: Actor[] = [];
  /** What dead threads of the present life still hold outside shared memory. */
  private readonly corpses: Participant[] = [];
  private auditor: Auditor | undefined;
  private turns = 0;
  /** Who was last found not to have everything. */
  private behind = '';
  /** The clock moves at so many of a hundred turns. */
  private clockPercent: number;

  constructor(options: SimOptions) {
    const { seed, verbose, messaging = seed >= MESSAGING_SEEDS, sabotage = {} } = options;
    this.options = options;
    const world = new World(seed, verbose);
    this.world = world;
    const drawn = drawPlan(world.random);
    const plan = messaging ? drawMessaging(world.random, drawn) : drawn;
    const draw = seed >= OTHER_SEEDS ? drawOther : seed >= BROAD_SEEDS ? drawBroad : drawWide;
    const wide = seed >= WIDE_SEEDS ? draw(world.random, plan) : plan;
    this.plan = sabotage.plan?.(wide) ?? wide;
    world.trace.add(JSON.stringify(this.plan));
    const { settings, topics, embedded, remote } = this.plan;
    this.clockPercent = this.plan.clockPercent;
    this.books = new Books(world, settings.retentionMs > 0 || settings.retentionBytes > 0);
    this.network = new Network(world);
    const disk = new SimDisk(new FaultDisk(), world.trace, world.random, sabotage.disk);
    const { topic: work, broad } = this.plan.messaging ?? {};
    this.messaging = work && new Desks(new MessagingBooks(this.books, work.name, work.partitions));
    const manner = {
      label: 'coordinator/',
      deathIsAnError: true,
      synced: (name: string) => {
        if (name === 'coordinator.journal') this.messaging?.synced();
      },
    };
    const coordinator = new SimDisk(new FaultDisk(), world.trace, world.random, sabotage.disk, manner);
    this.folder = { disk, coordinator, meta: new SimMetaStore(), keys: new SimKeyIndex(() => world.nowMs) };
    if (this.plan.messaging?.broad?.other?.finders) this.folder.keys.takesMs = () => world.random(KEYS_TAKE_MAX_MS);
    const names = topics.map((one) => one.name);
    let producers = 0;
    this.context = {
      world,
      books: this.books,
      topics: names,
      nextProducer: () => producers++,
      ...traceOf(broad, world),
    };
    this.embedded = embedded.map(({ group, slow }, i) => {
      return new EmbeddedApplication(`embedded-${i}`, this.context, group ? 'group' : 'positions', slow);
    });
    this.remote = remote.map(({ slow }, i) => new RemoteApplication(`remote-${i}`, this.context, this.network, slow));
    const applications = [...this.embedded, ...this.remote];
    if (this.messaging) giveRoles(this.plan, this.messaging, this.context, applications);
    if (this.messaging && broad) {
      this.broad = new Broad(this.plan, this.messaging, this.context, applications, this.network);
    }
    this.troubles = new Troubles(this.books, this.network, this.plan, (thread) => void this.corpses.push(thread));
  }

  async play(): Promise<void> {
    for (const { turns, end } of this.plan.lives) await this.life(turns, end);
    await this.lastLife();
  }

  report(): SimReport {
    const { world, books, messaging } = this;
    const anomalies = [...books.judge(), ...(messaging?.judge() ?? [])];
    const groups = messaging?.groups ?? [];
    return {
      seed: this.options.seed,
      digest: world.trace.digest,
      anomalies,
      trace: world.trace.tail,
      sent: books.sentCount,
      acknowledged: books.ackedCount,
      delivered: books.deliveredCount,
      handed: groups.reduce((sum, one) => sum + one.handedCount, 0),
      settled: groups.reduce((sum, one) => sum + one.ackedCount, 0),
      stored: [...books.audit.views.values()].reduce((sum, view) => sum + view.ids.length, 0),
      turns: this.turns,
      ...this.broad?.counts,
      simulatedMs: world.nowMs,
    };
  }

  async dispose(): Promise<void> {
    await this.endLife();
    for (const one of this.remote) one.loop.end();
  }

  private async life(turns: number, end: LifeEnd): Promise<void> {
    const { world, folder } = this;
    try {
      await this.start();
      if (this.remote.some((one) => !one.started)) for (const one of this.remote) await one.start();
      if (world.chance(30)) folder.disk.killIn = world.random(200);
      if (this.messaging && world.chance(30)) folder.coordinator.killIn = world.random(200);
      for (let i = 0; i < turns; i++) {
        await this.turn();
        if (this.broker) await this.troubles.turn(this.broker, folder, this.embedded);
      }
      if (end === 'stop' && !folder.disk.broken && !folder.disk.givenUp) await this.stop();
      else await this.crash(end === 'power');
    } catch (error) {
      if (!(error instanceof ProcessKilled)) throw error;
      await this.crash(end === 'power');
    }
  }

  /** Everything is well now: it must come to an end. */
  private async lastLife(): Promise<void> {
    const { world, books, messaging, folder } = this;
    const { settings } = this.plan;
    await this.start();
    for (const one of this.remote) if (!one.started) await one.start();
    for (let i = this.plan.messaging?.broad?.lastTurns ?? 0; i > 0 && this.broker; i--) {
      await this.turn();
      await this.troubles.turn(this.broker, this.folder, this.embedded, true);
    }
    // A store that has failed stores nothing until the next start.
    if (this.folder.disk.givenUp) {
      await this.crash(false);
      await this.start();
    }
    if (this.broker) await this.troubles.end(this.broker, this.folder);
    for (const one of [...this.embedded, ...this.remote]) one.quiet = true;
    this.clockPercent = 30;
    const isSettled = (): boolean => {
      this.behind = [...this.embedded, ...this.remote].map((one) => one.waitsFor).find((what) => what !== '') ?? '';
      return this.behind === '';
    };
    await this.turnsUntil('all sends are answered', SETTLE_MAX_MS, isSettled);
    if (!this.broker) return;
    this.auditor = messaging ? makeAuditor(messaging, this.context) : new Auditor('auditor', this.context);
    await this.auditor.start(this.broker);
    this.newActors();
    await this.turnsUntil('all consumers have caught up', SETTLE_MAX_MS, () => this.caughtUp(this.broker!));
    await this.stop();
    world.trace.add('the end');
    checkFolder(world, this.network, folder, settings, books, this.topicNames());
  }

  private async start(): Promise<void> {
    const { world, network, folder, plan, options, messaging } = this;
    folder.meta.disk = folder.disk;
    const made: ProcessOptions = { ...options.sabotage, coordinator: messaging !== undefined };
    const broker = new BrokerProcess(world, network, folder, plan.settings, made);
    this.broker = broker;
    const names = this.topicNames();
    this.books.recovered(broker.recovered.queues, names);
    messaging?.recovered(broker.recovered.queues, names);
    this.newActors();
    await this.turnsUntil('the broker runs', STOP_MAX_MS, () => broker.running);
    const topics = this.topicsToMake();
    await makeTopics(world, broker, topics, (done) => this.turnsUntil('the topics are made', STOP_MAX_MS, done));
    for (const app of this.embedded) await app.start(broker);
    this.newActors();
  }

  private topicsToMake(): readonly TopicPlan[] {
    const { topics, messaging } = this.plan;
    return messaging ? [...topics, messaging.topic, ...messaging.ownTopics] : topics;
  }

  /** kill -9, or the loss of power. */
  private async crash(power: boolean): Promise<void> {
    const { world, folder } = this;
    world.trace.add(power ? 'POWER LOST' : 'KILLED');
    await this.endLife();
    folder.disk = power ? folder.disk.crashed() : folder.disk.killed();
    folder.coordinator = power ? folder.coordinator.crashed() : folder.coordinator.killed();
    this.books.crashed(power);
    this.messaging?.crashed(power);
    if (!power) return;
    if (world.chance(50)) folder.keys.lose();
  }

  private async stop(): Promise<void> {
    const { broker, world, folder } = this;
    if (!broker) return;
    this.troubles.heal(folder);
    broker.beginStop();
    const loop = broker.frontEnd?.loop;
    if (loop) await world.turn(loop, () => broker.closeFrontEnd());
    const apps = this.auditor ? [...this.embedded, this.auditor] : this.embedded;
    for (const app of apps) await app.close();
    await this.turnsUntil('connections are closed', STOP_MAX_MS, () => {
      return broker.frontEnd === undefined && apps.every((one) => one.closed || !one.connection);
    });
    await broker.stopCoordinator();
    await this.turnsUntil('the coordinator has ended', STOP_MAX_MS, () => broker.coordinatorEnded);
    broker.finishStop();
    await this.turnsUntil('threads have ended', STOP_MAX_MS, () => broker.stopped);
    this.books.stopped();
    this.messaging?.stopped();
    await this.endLife();
    folder.disk = folder.disk.killed();
    folder.coordinator = folder.coordinator.killed();
  }

  /** What ends with the process is let go of, and nothing of it is heard of again. */
  private async endLife(): Promise<void> {
    const grave = new EventLoop('grave');
    await this.world.turn(grave, () => {
      this.broker?.dispose();
      for (const app of [...this.embedded, this.auditor]) {
        const left = app?.die();
        if (left) this.corpses.push(left);
      }
      for (const one of this.corpses.splice(0)) one.close();
    });
    grave.end();
    this.broker = undefined;
    // Who would have come back to it begins with the next one, as everybody does.
    this.troubles.forget();
    this.newActors();
  }

  private caughtUp({ regions }: BrokerProcess): boolean {
    const { messaging } = this;
    const names = this.topicNames();
    for (let id = 0; id < partitionsUsed(regions.control); id++) {
      const identity = readIdentity(regions.table, id);
      if (!identity) continue;
      const topic = names.get(identity.topic);
      const place = `${topic}/${identity.number}`;
      const end = nextOffset(regions.table, id);
      const oldest = oldestOffset(regions.table, id);
      if (messaging && !messaging.readUpTo(place, oldest, end)) {
        this.behind = `the auditor has not read ${place} up to ${end}`;
        return false;
      }
      if (!this.context.topics.includes(topic ?? '')) continue;
      // What retention has taken whole only those must catch up with who had some of it.
      const isEmpty = oldest >= end;
      const books = [...this.books.consumers, this.books.audit];
      const behind = books.find(
        (one) => (one.topic ?? topic) === topic && one.next(place) < end && (!isEmpty || one.views.has(place)),
      );
      if (behind) {
        this.behind = `${behind.name} is at ${place}:${behind.next(place)} of ${end}`;
        return false;
      }
    }
    this.behind = messaging?.waitsFor() ?? '';
    return this.behind === '';
  }

  private topicNames(): Map<number, string> {
    return new Map(this.folder.meta.topics().map((one) => [one.topicId, one.topic]));
  }

  private async turnsUntil(what: string, withinMs: number, done: () => boolean): Promise<void> {
    const { world } = this;
    const until = world.nowMs + withinMs;
    while (!done()) {
      if (world.nowMs > until || this.turns > (this.options.turnsMax ?? TURNS_MAX)) {
        throw new Error(`it never came to pass that ${what} (turn ${this.turns}; ${this.behind})`);
      }
      await this.turn();
    }
  }

  /** Whoever is next, or the clock. */
  private async turn(): Promise<void> {
    const { world } = this;
    this.turns++;
    if (this.turns % WEIGHT_TURNS === 0) this.weigh();
    if (world.chance(this.clockPercent)) {
      world.advance(world.chance(2) ? world.between(1, CLOCK_LEAP_MS) : world.between(1, CLOCK_STEP_MS));
      return;
    }
    const actor = this.pick();
    if (!actor) {
      world.advance(1);
      return;
    }
    const did = await actor.turn();
    world.trace.add(`${world.nowMs} ${actor.name} ${did ?? ''}`);
  }

  private pick(): Actor | undefined {
    const { actors, world } = this;
    const total = actors.reduce((sum, one) => sum + one.weight, 0);
    if (total === 0) return undefined;
    let left = world.random(total);
    return actors.find((one) => {
      left -= one.weight;
      return left < 0;
    });
  }

  /** For a while some are fast, and some get nowhere. */
  private weigh(): void {
    for (const one of this.actors) one.weight = WEIGHTS[this.world.random(WEIGHTS.length)];
  }

  private newActors(): void {
    const { broker } = this;
    const actors: Actor[] = [];
    const add = (name: string, turn: Actor['turn']): void => void actors.push({ name, weight: 4, turn });
    for (const one of this.remote) if (one.started) add(one.name, () => one.turn());
    if (broker) {
      for (const thread of broker.threads) add(thread.name, () => broker.turn(thread));
      add('supervisor', () => broker.supervise());
      add('front-end', () => broker.turnFrontEnd());
      if (this.messaging) add('coordinator', () => broker.turnCoordinator());
      for (const one of this.embedded) add(one.name, () => one.turn());
      const { auditor } = this;
      if (auditor) add(auditor.name, () => auditor.turn());
    }
    this.actors = actors;
  }
}
