// Acks that wait for the disk: one ledger for `written`, one for `durable`. The store moves the stored positions of
// partitions and rings; the worker then answers what has been reached, in the order in which it came.
//
// Order inside a turn (broker-agent.ts): an ack is shown to a successor after its batch was shown in the ring, or the
// successor could give the position that is waited for to another batch.
import { SEAT_STATES } from '../../native-layout/control.ts';
import { PARTITION_STATES } from '../../native-layout/partition-table.ts';
import { STORE_STATES } from '../../native-layout/store.ts';
import { CODES } from '../base/codes.ts';
import { ACK_LEVELS } from '../base/units.ts';
import { AckLedger, WaitingAck } from '../memory/ledger.ts';
import { epochOf, partitionState, storedPosition } from '../memory/partition-entry.ts';
import { ledgerPlace, type Regions, type StoreRegion } from '../memory/regions.ts';
import { seatGeneration, seatState } from '../memory/seats.ts';
import { storeState } from '../memory/store-state.ts';
import type { Partition } from '../partition/partition.ts';
import type { Publisher } from './publisher.ts';

/** release() answers this many acks of a level in one turn at most. */
const RELEASE_MAX = 4_096;
/** verdictOf(): the disk has not reached it. */
const WAITS = -1;

/** What answering needs of the worker. */
export interface AckHost {
  publisher(seat: number): Publisher;
  /** This publisher has new answers to be shown. */
  answered(publisher: Publisher): void;
}

export class WaitingAcks {
  private readonly regions: Regions;
  private readonly store: StoreRegion;
  private readonly host: AckHost;
  private readonly written: AckLedger;
  private readonly durable: AckLedger;
  private readonly ack = new WaitingAck();

  constructor(regions: Regions, store: StoreRegion, seat: number, host: AckHost) {
    this.regions = regions;
    this.store = store;
    this.host = host;
    this.written = new AckLedger(store.words, ledgerPlace(regions.sizes, seat, 0));
    this.durable = new AckLedger(store.words, ledgerPlace(regions.sizes, seat, 1));
  }

  /** Acks that wait. */
  get size(): number {
    return this.written.size + this.durable.size;
  }

  /** Takes over from a predecessor: room is kept for the answers that it owes. */
  takeOver(): void {
    for (const ledger of [this.written, this.durable]) {
      ledger.eachSeat((seat) => this.host.publisher(seat).completions.waiting++);
    }
  }

  /** True if one more ack of this level can wait. HOT */
  hasRoom(level: number): boolean {
    return this.ledgerOf(level).hasRoom();
  }

  /** Routes have changed, and the worker knows its partitions anew. */
  routesChanged(): void {
    this.written.doubt();
    this.durable.doubt();
  }

  /** The batch is in the partition's ring (or was before): answers `status` when the disk has all of the ring. HOT */
  add(level: number, publisher: Publisher, request: number, status: number, partition: Partition, count: number): void {
    const { ack } = this;
    ack.seat = publisher.seat;
    ack.generation = seatGeneration(this.regions.control, publisher.seat);
    ack.request = request;
    ack.partition = partition.id;
    ack.epoch = partition.identity.epoch;
    ack.position = partition.writer.position;
    ack.baseOffset = partition.baseOffset;
    ack.count = count;
    ack.status = status;
    this.ledgerOf(level).push(ack);
    publisher.completions.waiting++;
  }

  /** Shows a successor what was added. After the rings were published. HOT */
  publish(): void {
    this.written.publish();
    this.durable.publish();
  }

  /** Pushes the answers that are due; returns how many. The host shows them, then forget() follows. HOT */
  release(): number {
    return this.releaseOf(this.written, 'written') + this.releaseOf(this.durable, 'durable');
  }

  /** The answers can be seen: a successor does not repeat them. HOT */
  forget(): void {
    this.written.release();
    this.durable.release();
  }

  private ledgerOf(level: number): AckLedger {
    return level === ACK_LEVELS.written ? this.written : this.durable;
  }

  private releaseOf(ledger: AckLedger, level: 'written' | 'durable'): number {
    const { ack } = this;
    let released = 0;
    while (released < RELEASE_MAX && ledger.peek(ack)) {
      const verdict = this.verdictOf(ack, level, ledger.isDoubted);
      if (verdict === WAITS || !this.tryAnswer(ack, verdict)) break;
      ledger.pop();
      released++;
    }
    return released;
  }

  /**
   * Code to answer with, or WAITS. A partition is looked up only where it may have been deleted (`doubted`): that is a
   * line of the table that nobody else needs, for every ack. Until this worker has heard of a deletion the entry keeps
   * its life, because the worker itself retires it. HOT
   */
  private verdictOf(ack: WaitingAck, level: 'written' | 'durable', doubted: boolean): number {
    const { table } = this.regions;
    if (doubted && !this.lives(ack)) return CODES['route-stale'].number;
    // In this order: the store moves positions before it says that it failed, and what is stored is stored.
    const isFailed = storeState(this.store) === STORE_STATES.failed;
    if (((storedPosition(table, ack.partition, level) - ack.position) | 0) >= 0) return ack.status;
    return isFailed ? CODES['store-failed'].number : WAITS;
  }

  private lives({ partition, epoch }: WaitingAck): boolean {
    const { table } = this.regions;
    return partitionState(table, partition) === PARTITION_STATES.active && epochOf(table, partition) === epoch;
  }

  /**
   * The holder of the seat that published the batch hears it; one that came after it does not. False if there is no
   * room for it now: only where a predecessor answered already what is answered here again. HOT
   */
  private tryAnswer(ack: WaitingAck, status: number): boolean {
    const { control } = this.regions;
    const publisher = this.host.publisher(ack.seat);
    const { completions } = publisher;
    const isThere = seatState(control, ack.seat) === SEAT_STATES.taken;
    if (isThere && seatGeneration(control, ack.seat) === ack.generation) {
      if (!completions.hasRoomForWaiting()) return false;
      const baseOffset = status === ack.status ? ack.baseOffset : -1;
      completions.push(ack.request, status, ack.partition, baseOffset, ack.count, ack.epoch);
      this.host.answered(publisher);
    }
    completions.waiting--;
    return true;
  }
}
