// Moves messages from one place to another exactly once, also when the coordinator dies in between: retries, dead
// letters and their replay, timers that fire, transactions that commit.
//
// First the journal gets the intent (where the records come from, and for each batch its partition, producer id and
// sequence), then the batches are published with exactly that identity, then the journal gets a record that it is done.
// A successor asks the owners of those that are not done for the same records and publishes them again: the broker
// recognises what it has taken before, and the log is asked for what it may have forgotten.
//
// M1 Nothing is published before its intent is in the journal, and on the disk if its topic is durable.
// M2 A batch that may have been taken is published again under the same identity only.
// M3 Every start has identities of its own: what a journal has lost cannot make a new batch pass for an old one.
// M4 Owners change their state in their hooks only: what they know follows from the journal.
// M5 A move whose intent is written is not given up but for good: its records are not there any more, or its topic is
//    not what it was. Whatever else stands in its way is waited for, by the next start too.
import { CODES, type CodeName, RingmqError } from '../base/codes.ts';
import { crashPoint } from '../log/crash-point.ts';
import type { Journal, JournalPart } from './journal.ts';
import { type PlannedBatch, planBatches } from './move-batches.ts';
import { type MoveLog, placesOf } from './move-log.ts';
import { recoverMoves } from './move-recovery.ts';
import { batchMaxBytes, type MovePublisher, MoveTarget } from './move-target.ts';
import {
  isMoveRecord,
  type Move,
  type MovedBatch,
  type MoveOwner,
  type MoveRecord,
  type MoveSource,
  OpenMove,
  type WrittenMove,
} from './open-move.ts';
import type { Handlers, Service } from './service.ts';

export type { Move, MovedBatch, MoveOwner, MoveSource } from './open-move.ts';

export interface MoverHost {
  readonly journal: Journal;
  readonly warn: (text: string) => void;
  readonly publisher: (topic: string) => MovePublisher;
  readonly log: MoveLog;
  /** Runs a task at the end of the turn; `awaited`: as soon as all that came in it has been asked for. */
  readonly soon: (task: () => void, awaited?: boolean) => void;
}

/** Bytes under way from which on hasRoom is false. */
const UNDER_WAY_BYTES = 32 * 1024 * 1024;
/** The same of one topic, for hasRoomIn. */
const TOPIC_BYTES = 4 * 1024 * 1024;
/** A target that was not used for so long is forgotten: a broker may have ten thousand topics. */
const IDLE_MS = 60_000;
const STOP_MS = 2_000;
const POLL_MS = 5;
/** The coordinator is being stopped: the move stays open, and the next start goes on with it. */
const LATER: ReadonlySet<CodeName> = new Set(['closed', 'shutting-down']);

interface Waiting {
  readonly move: OpenMove;
  readonly batches: readonly PlannedBatch[];
  readonly durable: boolean;
}

export class Mover implements Service {
  readonly handlers: Handlers = {};
  readonly part: JournalPart;
  private readonly host: MoverHost;
  private readonly owners = new Map<string, MoveOwner>();
  private readonly targets = new Map<string, MoveTarget>();
  private readonly open = new Map<number, OpenMove>();
  /** Planned, to be written at the end of the turn. */
  private starting: Waiting[] = [];
  /** All of it is answered: to be written at the end of the turn. */
  private ending: OpenMove[] = [];
  /** Batches that must go out under another identity. */
  private renewing: { readonly move: OpenMove; readonly index: number }[] = [];
  /** Written, and to be published when they are on the disk; on the disk, and to be published at once. */
  private readonly unsynced: Waiting[] = [];
  private readonly ready: Waiting[] = [];
  /** All intents that must be are on the disk. */
  private isSynced = true;
  private asked = false;
  private lastId = 0;
  private bytes = 0;
  private readonly roomWaiters: (() => void)[] = [];
  private stopping = false;

  constructor(host: MoverHost) {
    this.host = host;
    this.part = { name: 'moves', replay: (record) => this.replay(record), snapshot: () => this.snapshot() };
  }

  /** Says who knows about sources of this kind: before the journal is read. */
  own<S extends MoveSource>(kind: S['kind'], owner: MoveOwner<S>): void {
    this.owners.set(kind, owner as unknown as MoveOwner);
  }

  /** Moves that are not done. */
  get size(): number {
    return this.open.size + this.starting.length;
  }

  /** False while enough is under way: await room() before the next move. */
  get hasRoom(): boolean {
    return this.bytes < UNDER_WAY_BYTES;
  }

  async room(): Promise<void> {
    while (!this.hasRoom) await new Promise<void>((resolve) => this.roomWaiters.push(resolve));
  }

  /** The same of one topic: one that takes nothing must not hold up the others. */
  hasRoomIn(topic: string): boolean {
    return this.hasRoom && (this.targets.get(topic)?.bytes ?? 0) < TOPIC_BYTES;
  }

  async roomIn(topic: string): Promise<void> {
    while (!this.hasRoomIn(topic)) await new Promise<void>((resolve) => this.roomWaiters.push(resolve));
  }

  /** True while every intent that was written is on the disk. */
  get isDecided(): boolean {
    return this.isSynced;
  }

  /**
   * Publishes the records exactly once; resolves, with where they are, when they are as safe as a `durable` send (on a
   * volatile topic: accepted) and that is written down. Moves to one partition keep their order, but for those that
   * wait for the topic's route. Rejects, and nothing was written, with `unknown-topic`, `message-too-large` or what the
   * journal refuses with; rejects after failed() if that turns out later. Moves of one turn share one write of the
   * journal and one sync.
   */
  async move(move: Move): Promise<readonly MovedBatch[]> {
    if (this.stopping) throw new RingmqError('shutting-down');
    const target = this.target(move.topic);
    const route = await target.publisher.route();
    if (route.direct) throw new RingmqError('direct-only', `${move.topic} is written by an embedding thread alone`);
    const plan = target.plan(route, move.partition);
    const batches = planBatches(move.payload, plan, batchMaxBytes(route));
    const open = new OpenMove(++this.lastId, move.topic, move.source, plan);
    open.decided = move.decided;
    open.lazy = move.lazy ?? false;
    if (batches.length > 1) open.orderBy(batches);
    if (route.durable) open.places = placesOf(this.host.log, route, batches);
    const moved = new Promise<readonly MovedBatch[]>((resolve, reject) => {
      open.resolve = resolve;
      open.reject = reject;
    });
    this.starting.push({ move: open, batches, durable: route.durable });
    for (const { bytes } of batches) this.count(open, bytes.length);
    if (open.decided) this.host.soon(this.turn, true);
    else this.ask();
    return moved;
  }

  start(): void {
    void recoverMoves([...this.open.values()], {
      log: this.host.log,
      warn: this.host.warn,
      isOver: () => this.stopping,
      owner: (move) => this.owner(move),
      settled: (move) => this.settled(move),
      publish: (move, batches) => this.publishAgain(move, batches),
    });
  }

  housekeep(nowMs: number): void {
    if (this.unsynced.length + this.ending.length + this.renewing.length > 0) this.ask();
    for (const [topic, target] of this.targets) {
      if (!target.publisher.idle || target.bytes > 0) target.usedAt = nowMs;
      else if (nowMs - target.usedAt > IDLE_MS) {
        this.targets.delete(topic);
        void target.publisher.close();
      }
    }
  }

  /** What is under way ends; what does not within two seconds stays open for the next start. */
  async stop(): Promise<void> {
    this.stopping = true;
    const until = performance.now() + STOP_MS;
    while (this.size + this.ending.length > 0 && performance.now() < until)
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    for (const { publisher } of this.targets.values()) await publisher.close();
    for (const move of this.open.values()) move.reject(new RingmqError('shutting-down'));
  }

  private target(topic: string): MoveTarget {
    let target = this.targets.get(topic);
    if (target === undefined) {
      target = new MoveTarget(this.host.publisher(topic));
      this.targets.set(topic, target);
    }
    return target;
  }

  /** Bytes that are under way now, or not any more. */
  private count({ topic }: OpenMove, bytes: number): void {
    this.bytes += bytes;
    this.target(topic).bytes += bytes;
  }

  private ask(): void {
    if (this.asked) return;
    this.asked = true;
    this.host.soon(this.turn);
  }

  /** End of a turn: what was asked for meanwhile is written in one go. */
  private readonly turn = (): void => {
    this.asked = false;
    this.writeEnds();
    this.writeRenewals();
    this.writeIntents();
    this.publishSynced();
    if (this.hasRoom) for (const wake of this.roomWaiters.splice(0)) wake();
  };

  private writeIntents(): void {
    const { starting } = this;
    if (starting.length === 0) return;
    this.starting = [];
    for (const { move, batches } of starting) {
      for (const { partition, count } of batches) move.add(this.target(move.topic).identify(partition, count));
    }
    try {
      this.append({ intents: starting.map(({ move }) => move.written()) });
    } catch (error) {
      // Sequences that were given and are not used would be missed.
      for (const { move } of starting) this.target(move.topic).leaveAll();
      for (const { move, batches } of starting) {
        for (const { bytes } of batches) this.count(move, -bytes.length);
        move.reject(error);
      }
      return;
    }
    for (const { move } of starting) {
      this.open.set(move.id, move);
      this.owner(move)?.intended?.(move.source, false);
    }
    for (const one of starting) {
      one.move.batches = one.batches;
      if (one.durable || one.move.decided) this.isSynced = false;
      this.unsynced.push(one);
    }
  }

  private publishSynced(): void {
    if (!this.sync()) return;
    const decided = this.unsynced.splice(0);
    this.ready.push(...decided);
    for (const { move } of decided) move.decided?.();
    // Answers first: those who hear them have the longer way.
    if (decided.some(({ move }) => move.decided)) this.host.soon(this.publishReady);
    else this.publishReady();
  }

  private readonly publishReady = (): void => {
    for (const one of this.ready.splice(0)) this.publishAll(one);
  };

  private publishAgain(move: OpenMove, batches: readonly PlannedBatch[]): void {
    move.batches = batches;
    batches.forEach(({ bytes }, index) => {
      if (!move.isAnswered(index)) this.count(move, bytes.length);
    });
    this.publishAll({ move, batches });
  }

  private publishAll({ move, batches }: Pick<Waiting, 'move' | 'batches'>): void {
    crashPoint('move.intended');
    for (let index = 0; index < batches.length; index++) if (!move.isAnswered(index)) this.publish(move, index);
  }

  /** M1. False: a journal that cannot be synced now is asked again with every housekeeping. */
  private sync(): boolean {
    if (this.isSynced) return true;
    try {
      this.host.journal.sync();
      this.isSynced = true;
    } catch {
      // The journal tells people by itself.
    }
    return this.isSynced;
  }

  private publish(move: OpenMove, index: number): void {
    const { partition, producer, sequence, count } = move.parts[index];
    const { bytes } = (move.batches as readonly PlannedBatch[])[index];
    this.target(move.topic).publisher.publish(
      { bytes, count, partition, producerId: producer, sequence, lazy: move.lazy },
      (code, offset) => this.answered(move, index, code, offset),
    );
  }

  private answered(move: OpenMove, index: number, code: CodeName, offset: number): void {
    if (LATER.has(code)) return;
    if (code === 'out-of-order') {
      // Not taken, and never will be under this identity: an earlier one of it has failed.
      this.leaveIdentity(move, index);
      this.renewing.push({ move, index });
      this.ask();
      return;
    }
    this.count(move, -(move.batches as readonly PlannedBatch[])[index].bytes.length);
    const isMoved = code === 'ok' || code === 'duplicate';
    // The broker does not count what it has refused: what comes next begins anew.
    if (!isMoved) this.leaveIdentity(move, index);
    move.settle(index, isMoved ? offset : -1, isMoved ? undefined : code);
    crashPoint('move.published');
    if (move.isSettled) this.settled(move);
  }

  private settled(move: OpenMove): void {
    this.ending.push(move);
    this.ask();
  }

  private writeEnds(): void {
    const { ending } = this;
    if (ending.length === 0 || !this.sync()) return;
    try {
      this.append({ ends: ending.map((move) => move.ended()) });
    } catch {
      return; // Tried again with the next housekeeping: nobody is told before.
    }
    this.ending = [];
    crashPoint('move.done');
    for (const move of ending) this.end(move, false);
  }

  private end(move: OpenMove, replaying: boolean): void {
    if (!this.open.delete(move.id)) return;
    const { failure, moved } = move;
    const owner = this.owner(move);
    if (failure === undefined) {
      owner?.done?.(move.source, moved, replaying);
      move.resolve(moved);
    } else {
      owner?.failed?.(move.source, failure, replaying);
      move.reject(new RingmqError(failure, `${move.topic}: ${CODES[failure].text}`));
    }
  }

  /** M2: the batches were refused as out of order, so they were not taken. */
  private writeRenewals(): void {
    const { renewing } = this;
    if (renewing.length === 0) return;
    const renewed = renewing.map(({ move, index }) => {
      const { partition, count } = move.parts[index];
      return { id: move.id, index, ...this.target(move.topic).identify(partition, count) };
    });
    try {
      this.append({ renewed });
      this.host.journal.sync();
    } catch {
      for (const { move } of renewing) this.target(move.topic).leaveAll();
      return; // Tried again with the next housekeeping.
    }
    this.renewing = [];
    renewing.forEach(({ move, index }, i) => {
      move.parts[index] = renewed[i];
      this.publish(move, index);
    });
  }

  private leaveIdentity(move: OpenMove, index: number): void {
    const { partition, producer } = move.parts[index];
    this.target(move.topic).leave(partition, producer);
  }

  private append(record: MoveRecord): void {
    this.host.journal.append(this.part.name, record);
  }

  private owner(move: OpenMove): MoveOwner | undefined {
    return this.owners.get(move.source.kind);
  }

  private replay(record: unknown): void {
    if (!isMoveRecord(record)) return;
    for (const one of record.intents ?? []) this.replayIntent(one);
    for (const { id, index, ...part } of record.renewed ?? []) this.open.get(id)?.renew(index, part);
    for (const { id, offsets, code } of record.ends ?? []) {
      const move = this.open.get(id);
      if (move === undefined) continue;
      for (let index = 0; index < offsets.length; index++) move.settle(index, offsets[index], code);
      this.end(move, true);
    }
  }

  private replayIntent(written: WrittenMove): void {
    const move = OpenMove.from(written);
    this.lastId = Math.max(this.lastId, move.id);
    this.open.set(move.id, move);
    this.owner(move)?.intended?.(move.source, true);
  }

  private *snapshot(): Iterable<MoveRecord> {
    for (const move of this.open.values()) yield { intents: [move.written()] };
  }
}
