// The NameServer thread: answers who has which partition of which topic, keeps topics and the offsets of groups,
// watches the broker workers' signs of life, and tells every thread that asked about a topic when its route changed.
//
// N1  A turn takes commands, writes all that they change in one transaction, and only then lets anybody see it: the
//     table, news of routes, answers. A transaction that failed leaves nothing behind, and its commands are refused.
import {
  CONTROL_STATES,
  SEAT_FIRST_WORKER,
  SEAT_NAMESERVER,
  SEAT_ROLES,
  SEAT_STATES,
  SEATS_MAX,
} from '../../native-layout/control.ts';
import { RingmqError } from '../base/codes.ts';
import { crashPoint } from '../log/crash-point.ts';
import { Bells } from '../memory/bell.ts';
import { NONE } from '../memory/lane.ts';
import { nextOffset } from '../memory/partition-entry.ts';
import type { Regions } from '../memory/regions.ts';
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
import type { MetaStore, StoredMarks } from '../state/meta.ts';
import type { Agent } from '../thread/agent.ts';
import { takeFrame } from '../thread/control-lane.ts';
import { decodeFrame } from '../wire/codec.ts';
import type { Command, CommandOf } from '../wire/commands.ts';
import { type Client, Clients } from './clients.ts';
import { Commands, DONE, type Outcome, refusal } from './commands.ts';
import { Directory, storedTopic, type TopicRecord } from './directory.ts';
import { GroupOffsets } from './group-offsets.ts';
import { Marks } from './marks.ts';
import { TablePartitionSlots } from './partition-slots.ts';
import { Registry, type RegistryOptions } from './registry.ts';
import { histories, inherited, type RecoveredQueues, restart } from './restart.ts';
import type { DirectoryOptions } from './topic-request.ts';

export interface NameServerOptions extends Omit<DirectoryOptions, 'store'>, RegistryOptions {
  /** Milliseconds between two looks for silent brokers. Default 5,000. */
  readonly scanMs: number;
}

/** Tells the supervisor what a successor of this thread must know. */
export type TopicJournal = (change: { readonly topic: string; readonly record: TopicRecord | undefined }) => void;

/** What a NameServer starts with. */
export interface NameServerMemory {
  /** What the supervisor keeps for the successor of one that died. */
  readonly known: readonly TopicRecord[];
  readonly meta: MetaStore;
  /** What the log had when the broker started. */
  readonly recovered: RecoveredQueues;
  /** Hears what a person should know. */
  readonly warn: (text: string) => void;
}

const COMMANDS_PER_TURN = 64;
/** Milliseconds for which commits of offsets gather. */
const GATHER_MS = 50;

interface Asked {
  readonly client: Client;
  readonly correlation: number;
  readonly command: Command;
  readonly outcome: Outcome;
}

export class NameServerAgent implements Agent {
  readonly name = 'nameserver';
  private readonly regions: Regions;
  private readonly options: NameServerOptions;
  private readonly bells: Bells;
  private readonly clients: Clients;
  private readonly slots: TablePartitionSlots;
  private readonly directory: Directory;
  private readonly registry: Registry;
  private readonly journal: TopicJournal;
  private readonly meta: MetaStore;
  private readonly offsets: GroupOffsets;
  private readonly commands: Commands;
  private readonly marks: Marks;
  private readonly warn: (text: string) => void;
  /** Commands of this turn. */
  private asked: Asked[] = [];
  /** Who waits for offsets to be on the disk. */
  private committing: Asked[] = [];
  private gatherUntil = 0;
  private scanAt = 0;
  private now = 0;

  /** Throws RingmqError if the state cannot be written or does not fit the partition table. */
  constructor(
    regions: Regions,
    options: NameServerOptions,
    clock: () => number,
    memory: NameServerMemory,
    journal: TopicJournal,
  ) {
    this.regions = regions;
    this.options = options;
    this.bells = new Bells(regions.control);
    this.clients = new Clients(regions, this.bells);
    this.meta = memory.meta;
    this.warn = memory.warn;
    this.journal = journal;
    this.now = clock();
    const isSuccessor = memory.known.length > 0;
    const known = isSuccessor ? this.heirloom(memory.known) : this.restart(memory.recovered);
    this.slots = new TablePartitionSlots(regions, clock, known);
    const limits = { ...options, store: regions.sizes.durable ?? false };
    this.directory = new Directory(limits, this.slots, known, routeVersion(regions.control), this.meta.nextTopicId);
    this.registry = new Registry(options);
    this.offsets = new GroupOffsets(this.meta, (id) => nextOffset(regions.table, id));
    const brokers = { all: this.brokers, isAvailable: (seat: number) => this.registry.isAvailable(seat) };
    this.commands = new Commands(this.directory, this.offsets, brokers);
    this.marks = new Marks(this.meta, this.now);
    this.revive(memory.recovered);
    if (isSuccessor) this.inherit(known);
    this.watch();
  }

  /** The topics of an earlier process with owners and epochs for this one, on the disk before anybody hears of them. */
  private restart(recovered: RecoveredQueues): readonly TopicRecord[] {
    const { workerCount: workers, partitionMax } = this.regions.sizes;
    const { ringBytesDefault, overflowDefault } = this.options;
    const limits = { workers, partitionMax, ringBytesDefault, overflowDefault };
    const nowS = Math.floor(this.now / 1000) | 0;
    const { records, ended, lost, nextTopicId } = restart(this.meta, recovered, limits, nowS);
    const changes = { topics: records.map(storedTopic), deleted: ended, nextTopicId };
    if (records.length > 0 || ended.length > 0) this.meta.commit(changes);
    if (lost.length > 0) {
      this.warn(`the state did not know topics that the log has: they are back as ${lost.slice(0, 20).join(', ')}`);
    }
    for (const record of records) this.journal({ topic: record.topic, record });
    return records;
  }

  private heirloom(known: readonly TopicRecord[]): readonly TopicRecord[] {
    const { sizes, table } = this.regions;
    return sizes.durable ? inherited(this.meta.topics(), known, table, sizes.workerCount) : known;
  }

  /** Brings partitions to life that no thread of this process has seen yet. */
  private revive(recovered: RecoveredQueues): void {
    const historyOf = histories(this.meta, recovered);
    let revived = false;
    for (const record of this.directory.records()) {
      if (record.direct) continue;
      for (const one of record.partitions) revived = this.slots.revive(record, one, historyOf(record, one)) || revived;
    }
    if (!revived) return;
    this.directory.version++;
    this.showVersion();
  }

  /**
   * A predecessor knew who had asked about what; its successor tells everybody who takes part about all topics. The
   * last transaction's effects may be missing in the table.
   */
  private inherit(known: readonly TopicRecord[]): void {
    for (const record of this.directory.records()) {
      for (const one of record.partitions) if (this.slots.isOpen(one)) this.slots.setPermission(one);
      if (record.durable) this.slots.setRetention(record);
      this.journal({ topic: record.topic, record });
    }
    this.directory.version++;
    this.showVersion();
    for (let seat = 0; seat < SEATS_MAX; seat++) {
      const lanes = openLanes(this.regions.control, SEAT_NAMESERVER, (seat >> 5) as 0 | 1);
      if ((lanes & (1 << (seat & 31))) === 0) continue;
      const { topics } = this.clients.at(seat);
      for (const record of known) topics.add(record.topic);
    }
  }

  get finished(): boolean {
    return brokerState(this.regions.control) >= CONTROL_STATES.stopped;
  }

  work(nowMs: number): number {
    this.now = nowMs;
    let did = 0;
    const quiet: Client[] = [];
    for (let half = 0; half < 2; half++) {
      let mask = openLanes(this.regions.control, SEAT_NAMESERVER, half as 0 | 1);
      while (mask !== 0) {
        const bit = 31 - Math.clz32(mask & -mask);
        mask &= mask - 1;
        const client = this.clients.at(half * 32 + bit);
        const served = this.serve(client);
        did += served;
        if (served === 0) quiet.push(client);
      }
    }
    this.endTurn();
    for (const client of quiet) this.closeIfDead(client);
    return did;
  }

  housekeep(nowMs: number): void {
    this.now = nowMs;
    beat(this.regions.control, SEAT_NAMESERVER);
    this.slots.reclaim();
    this.watch();
    this.changed(this.directory.dropClosed());
    this.clients.sendAllUnsent();
    this.endTurn();
    this.keepMarks(this.marks.due(this.directory, this.slots, nowMs));
    if (nowMs < this.scanAt) return;
    this.scanAt = nowMs + this.options.scanMs;
    for (const seat of this.registry.expire(nowMs)) this.ownerChanged(seat);
  }

  /** The end of an orderly stop: nothing that was gathered is lost. */
  close(): void {
    this.gatherUntil = 0;
    this.endTurn();
    this.keepMarks(this.marks.all(this.directory, this.slots));
    this.meta.close();
  }

  private keepMarks(marks: readonly StoredMarks[]): void {
    if (marks.length === 0) return;
    try {
      this.meta.commit({ marks });
    } catch (error) {
      // They are looked at only where retention took every message of a partition: tried again later.
      this.warn(`how far partitions have come was not written: ${errorOf(error).message}`);
    }
  }

  private serve(client: Client): number {
    let served = 0;
    // Who does not take its answers gets no more of them.
    while (served < COMMANDS_PER_TURN && this.clients.sendUnsent(client)) {
      const at = client.there.look();
      if (at === NONE) break;
      const { correlation, command } = decodeFrame(takeFrame(client.there, at));
      client.there.consume();
      client.there.release();
      this.take(client, correlation, command);
      served++;
    }
    return served;
  }

  private take(client: Client, correlation: number, command: Command): void {
    const outcome = this.outcome(client, command);
    (outcome.reply ? this.asked : this.committing).push({ client, correlation, command, outcome });
  }

  private outcome(client: Client, command: Command): Outcome {
    try {
      return this.commands.execute(client, command);
    } catch (error) {
      return refusal(errorOf(error));
    }
  }

  /** Writes what the turn changed, then lets it be seen (N1). */
  private endTurn(): void {
    const { changes } = this.directory;
    const offsetsDue = this.committing.length > 0 && this.now >= this.gatherUntil;
    if (changes || offsetsDue) {
      try {
        this.meta.commit({ ...changes, offsets: this.offsets.pending });
      } catch (error) {
        this.fail(errorOf(error));
        return;
      }
      if (changes) crashPoint('state.topic-created');
      if (offsetsDue) crashPoint('state.offsets-committed');
      this.answerCommits(DONE);
    }
    this.directory.settle();
    this.show();
  }

  private show(): void {
    const asked = this.asked;
    this.asked = [];
    for (const { client, correlation, outcome } of asked) {
      this.changed(outcome.changed);
      if (outcome.deleted) this.deleted(outcome.deleted);
      const command = this.replyOf(outcome);
      if (correlation !== 0 && command) this.clients.send(client, { correlation, command });
    }
  }

  /** A later command of the turn may have deleted what an earlier one asked about: that is an answer too. */
  private replyOf(outcome: Outcome): Command | undefined {
    try {
      return outcome.reply?.();
    } catch (error) {
      return refusal(errorOf(error)).reply?.();
    }
  }

  /** Nothing of the turn was kept: what changes nothing is done once more by itself, the rest is refused. */
  private fail(error: RingmqError): void {
    this.directory.revert();
    this.answerCommits({ type: 'refused', code: error.code, text: error.message });
    const asked = this.asked;
    this.asked = [];
    for (const one of asked) {
      const again = this.outcome(one.client, one.command);
      const outcome = this.directory.changes === undefined ? again : refusal(error);
      if (outcome === again) this.directory.settle();
      else this.directory.revert();
      if (outcome.reply === undefined) {
        this.committing.push(one);
        continue;
      }
      this.asked = [{ ...one, outcome }];
      this.show();
    }
  }

  private answerCommits(command: Command): void {
    if (this.committing.length === 0) return;
    for (const { client, correlation } of this.committing) {
      if (correlation !== 0) this.clients.send(client, { correlation, command });
    }
    this.committing = [];
    this.offsets.clear();
    this.gatherUntil = this.now + GATHER_MS;
  }

  private readonly brokers = (): number[] => {
    // One that has just started counts, although its seat is looked at only now and then.
    this.watch();
    return this.registry.available().sort((a, b) => a - b);
  };

  private ownerChanged(seat: number): void {
    this.changed(this.directory.ownerChanged(seat));
  }

  /** Routes have changed: keep them for a successor, let every thread see the new version, tell those who asked. */
  private changed(records: readonly TopicRecord[]): void {
    for (const record of records) {
      if (this.directory.find(record.topic) !== record) continue;
      this.journal({ topic: record.topic, record });
      this.tell({ type: 'route-changed', topic: record.topic, version: record.version, deleted: false });
    }
  }

  private deleted({ topic }: TopicRecord): void {
    if (this.directory.find(topic) === undefined) this.journal({ topic, record: undefined });
    this.tell({ type: 'route-changed', topic, version: this.directory.version, deleted: true });
  }

  private tell(news: CommandOf<'route-changed'>): void {
    this.showVersion();
    this.clients.tell(news);
  }

  private showVersion(): void {
    setRouteVersion(this.regions.control, this.directory.version);
    for (let seat = SEAT_FIRST_WORKER; seat < SEATS_MAX; seat++) {
      if (seatRole(this.regions.control, seat) === SEAT_ROLES.broker) this.bells.ring(seat);
    }
  }

  /** The thread at this seat has left, and everything that it asked is answered. */
  private closeIfDead(client: Client): void {
    if (!this.clients.isDead(client) || client.there.hasNews) return;
    this.clients.forget(client);
    for (const topic of client.replyTopics) this.take(client, 0, { type: 'delete-topic', topic });
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
}

/** A refusal. Anything else is a fault and ends the thread. */
function errorOf(error: unknown): RingmqError {
  if (error instanceof RingmqError) return error;
  throw error;
}
