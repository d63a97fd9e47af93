// The NameServer thread: answers who has which partition of which topic, watches the broker workers' signs of life, and
// tells every thread that asked about a topic when its route has changed.
import {
  CONTROL_STATES,
  SEAT_FIRST_WORKER,
  SEAT_NAMESERVER,
  SEAT_ROLES,
  SEAT_STATES,
  SEATS_MAX,
} from '../../native-layout/control.ts';
import { RingmqError } from '../base/codes.ts';
import { Bells } from '../memory/bell.ts';
import { LaneReader, LaneWriter, NONE } from '../memory/lane.ts';
import { laneBack, laneTo, type Regions } from '../memory/regions.ts';
import {
  beat,
  brokerState,
  closeLane,
  heartbeat,
  openLanes,
  routeVersion,
  seatRole,
  seatState,
  setRouteVersion,
} from '../memory/seats.ts';
import type { Agent } from '../thread/agent.ts';
import { takeFrame, tryPutFrame } from '../thread/control-lane.ts';
import { decodeFrame, encodeFrame } from '../wire/codec.ts';
import type { Command, CommandOf, Frame } from '../wire/commands.ts';
import { Directory, type DirectoryOptions, type TopicRecord } from './directory.ts';
import { TablePartitionSlots } from './partition-slots.ts';
import { Registry, type RegistryOptions } from './registry.ts';

export interface NameServerOptions extends DirectoryOptions, RegistryOptions {
  /** Milliseconds between two looks for silent brokers. Default 5,000. */
  readonly scanMs: number;
}

/** Tells the supervisor what a successor of this thread must know. */
export type TopicJournal = (change: { readonly topic: string; readonly record: TopicRecord | undefined }) => void;

const TOPICS_PAGE_MAX = 500;
/** A page of topics ends at this many partitions, so that it fits the lane. */
const PAGE_PARTITIONS_MAX = 2_048;
const COMMANDS_PER_TURN = 64;

interface Client {
  readonly seat: number;
  readonly there: LaneReader;
  readonly back: LaneWriter;
  /** Topics that this thread has asked about. */
  readonly topics: Set<string>;
  /** Answers, and news by topic, that did not fit into the lane back. */
  readonly unsent: Map<string | number, Frame>;
}

export class NameServerAgent implements Agent {
  readonly name = 'nameserver';
  private readonly regions: Regions;
  private readonly options: NameServerOptions;
  private readonly bells: Bells;
  private readonly slots: TablePartitionSlots;
  private readonly directory: Directory;
  private readonly registry: Registry;
  private readonly journal: TopicJournal;
  private readonly clients: (Client | undefined)[] = new Array(SEATS_MAX).fill(undefined);
  private scanAt = 0;
  private now = 0;

  constructor(
    regions: Regions,
    options: NameServerOptions,
    clock: () => number,
    known: readonly TopicRecord[],
    journal: TopicJournal,
  ) {
    this.regions = regions;
    this.options = options;
    this.bells = new Bells(regions.control);
    this.slots = new TablePartitionSlots(regions, clock, known);
    this.directory = new Directory(options, this.slots, known, routeVersion(regions.control));
    this.registry = new Registry(options);
    this.journal = journal;
    this.now = clock();
    this.inherit(known);
    this.watch();
  }

  /** A predecessor knew who had asked about what; its successor tells everybody who takes part about all topics. */
  private inherit(known: readonly TopicRecord[]): void {
    for (let seat = 0; seat < SEATS_MAX; seat++) {
      const lanes = openLanes(this.regions.control, SEAT_NAMESERVER, (seat >> 5) as 0 | 1);
      if ((lanes & (1 << (seat & 31))) === 0) continue;
      const { topics } = this.client(seat);
      for (const record of known) topics.add(record.topic);
    }
  }

  get finished(): boolean {
    return brokerState(this.regions.control) >= CONTROL_STATES.stopped;
  }

  work(nowMs: number): number {
    this.now = nowMs;
    let did = 0;
    for (let half = 0; half < 2; half++) {
      let mask = openLanes(this.regions.control, SEAT_NAMESERVER, half as 0 | 1);
      while (mask !== 0) {
        const bit = 31 - Math.clz32(mask & -mask);
        mask &= mask - 1;
        const client = this.client(half * 32 + bit);
        const served = this.serve(client);
        did += served;
        if (served === 0) this.closeIfDead(client);
      }
    }
    return did;
  }

  housekeep(nowMs: number): void {
    this.now = nowMs;
    beat(this.regions.control, SEAT_NAMESERVER);
    this.slots.reclaim();
    this.watch();
    this.changed(this.directory.dropClosed());
    for (const client of this.clients) if (client) this.sendUnsent(client);
    if (nowMs < this.scanAt) return;
    this.scanAt = nowMs + this.options.scanMs;
    for (const seat of this.registry.expire(nowMs)) this.ownerChanged(seat);
  }

  private serve(client: Client): number {
    let served = 0;
    // Who does not take its answers gets no more of them.
    while (served < COMMANDS_PER_TURN && this.sendUnsent(client)) {
      const at = client.there.look();
      if (at === NONE) break;
      const frame = decodeFrame(takeFrame(client.there, at));
      client.there.consume();
      client.there.release();
      const { correlation } = frame;
      const command = this.answer(client, frame.command);
      if (correlation !== 0) this.send(client, { correlation, command });
      served++;
    }
    return served;
  }

  private answer(client: Client, command: Command): Command {
    try {
      return this.execute(client, command);
    } catch (error) {
      if (!(error instanceof RingmqError)) throw error;
      return { type: 'refused', code: error.code, text: error.message };
    }
  }

  private execute(client: Client, command: Command): Command {
    switch (command.type) {
      case 'route-request':
        return this.routeRequest(client, command);
      case 'create-topic':
        return this.createTopic(client, command);
      case 'open-direct': {
        const record = this.directory.openDirect(command.topic, client.seat);
        this.changed([record]);
        return this.routeOf(client, record);
      }
      case 'delete-topic': {
        const record = this.directory.delete(command.topic);
        this.journal({ topic: record.topic, record: undefined });
        this.tell({ type: 'route-changed', topic: record.topic, version: this.directory.version, deleted: true });
        return { type: 'done' };
      }
      case 'set-permission':
        this.changed(this.directory.setPermission(command.topic, command.owner, command.permission));
        return { type: 'done' };
      case 'topics-request':
        return this.topics(command);
      default:
        throw new RingmqError('unknown-command', `the NameServer does not serve ${command.type}`);
    }
  }

  private routeRequest(client: Client, command: CommandOf<'route-request'>): Command {
    const { record, created } = this.directory.findOrCreate(command.topic, command.create, this.brokers());
    if (created) this.changed([record]);
    return this.routeOf(client, record);
  }

  private createTopic(client: Client, command: CommandOf<'create-topic'>): Command {
    const known = this.directory.find(command.topic);
    if (known && command.ifNotExists) return this.routeOf(client, known);
    const record = this.directory.create(command, this.brokers());
    this.changed([record]);
    return this.routeOf(client, record);
  }

  private topics(command: CommandOf<'topics-request'>): Command {
    const limit = Math.min(Math.max(command.limit, 1), TOPICS_PAGE_MAX);
    const { records, more } = this.directory.page(command.after, limit);
    let partitions = 0;
    const fits = records.filter((one, at) => {
      partitions += one.partitions.length;
      return at === 0 || partitions <= PAGE_PARTITIONS_MAX;
    });
    const topics = fits.map((one) => this.directory.route(one, this.isAvailable));
    return { type: 'topics-reply', topics, more: more || fits.length < records.length };
  }

  private routeOf(client: Client, record: TopicRecord): Command {
    client.topics.add(record.topic);
    return { type: 'route-reply', route: this.directory.route(record, this.isAvailable) };
  }

  private readonly isAvailable = (owner: number): boolean => this.registry.isAvailable(owner);

  private brokers(): number[] {
    // One that has just started counts, although its seat is looked at only now and then.
    this.watch();
    return this.registry.available().sort((a, b) => a - b);
  }

  private ownerChanged(seat: number): void {
    this.changed(this.directory.ownerChanged(seat));
  }

  /** Routes have changed: keep them for a successor, let every thread see the new version, tell those who asked. */
  private changed(records: readonly TopicRecord[]): void {
    for (const record of records) {
      this.journal({ topic: record.topic, record });
      this.tell({ type: 'route-changed', topic: record.topic, version: record.version, deleted: false });
    }
  }

  private tell(news: CommandOf<'route-changed'>): void {
    setRouteVersion(this.regions.control, this.directory.version);
    for (let seat = SEAT_FIRST_WORKER; seat < SEATS_MAX; seat++) {
      if (seatRole(this.regions.control, seat) === SEAT_ROLES.broker) this.bells.ring(seat);
    }
    for (const client of this.clients) {
      if (!client?.topics.has(news.topic)) continue;
      if (news.deleted) client.topics.delete(news.topic);
      this.send(client, { correlation: 0, command: news });
    }
  }

  private send(client: Client, frame: Frame): void {
    const { correlation, command } = frame;
    if (seatState(this.regions.control, client.seat) === SEAT_STATES.dead) return;
    if (!tryPutFrame(client.back, encodeFrame(frame))) {
      client.unsent.set(command.type === 'route-changed' ? command.topic : correlation, frame);
      return;
    }
    client.back.publish();
    this.bells.ring(client.seat);
  }

  /** Sends what did not fit before. False while something still does not. */
  private sendUnsent(client: Client): boolean {
    for (const [key, frame] of client.unsent) {
      client.unsent.delete(key);
      this.send(client, frame);
      if (client.unsent.has(key)) return false;
    }
    return true;
  }

  /** The thread at this seat has left, and everything that it asked is answered. */
  private closeIfDead(client: Client): void {
    if (seatState(this.regions.control, client.seat) !== SEAT_STATES.dead || client.there.hasNews) return;
    this.clients[client.seat] = undefined;
    this.changed(this.directory.closeDirect(client.seat));
    this.slots.adopt(client.seat);
    closeLane(this.regions.control, SEAT_NAMESERVER, client.seat);
  }

  /** Looks at the broker workers' seats: who is there, and who has left in order or by dying. */
  private watch(): void {
    const { control, sizes } = this.regions;
    for (let seat = SEAT_FIRST_WORKER; seat < SEAT_FIRST_WORKER + sizes.workerCount; seat++) {
      const present = seatState(control, seat) === SEAT_STATES.taken;
      const changed = present
        ? this.registry.saw(seat, heartbeat(control, seat), this.now)
        : this.registry.unregister(seat);
      if (changed) this.ownerChanged(seat);
    }
  }

  private client(seat: number): Client {
    let client = this.clients[seat];
    if (client === undefined) {
      const { laneWords, laneBytes, sizes } = this.regions;
      client = {
        seat,
        there: new LaneReader(laneWords, laneBytes, laneTo(sizes, seat, SEAT_NAMESERVER)),
        back: new LaneWriter(laneWords, laneBytes, laneBack(sizes, seat, SEAT_NAMESERVER)),
        topics: new Set(),
        unsent: new Map(),
      };
      this.clients[seat] = client;
    }
    return client;
  }
}
