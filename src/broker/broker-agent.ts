// A broker worker: takes batches from the lanes of all publishing threads and writes them into the rings of the
// partitions that it owns. Cost is per batch and per byte, never per message.
//
// Order inside a turn, which makes a death at any point harmless: rings are published, then notices, then the acks that
// wait for the disk, then completions, and only then the lanes are given back. A successor finds the same frames again
// and recognises what was accepted.
import {
  BATCH_COUNT,
  BATCH_HEADER_BYTES,
  BATCH_PARTITION,
  REQUEST_ACK,
  REQUEST_FLAGS,
  REQUEST_ID,
  REQUEST_LAZY,
  REQUEST_WAITS,
} from '../../native-layout/batch.ts';
import { CONTROL_STATES, SEAT_STATES, SEAT_STORE, SEATS_MAX } from '../../native-layout/control.ts';
import { STORE_STATES } from '../../native-layout/store.ts';
import { CODES } from '../base/codes.ts';
import { ACK_LEVELS } from '../base/units.ts';
import { crashPoint } from '../log/crash-point.ts';
import { Bells } from '../memory/bell.ts';
import { COUNTER, Counters } from '../memory/counters.ts';
import { NONE } from '../memory/lane.ts';
import type { Regions } from '../memory/regions.ts';
import { beat, brokerState, closeLane, openLanes, routeVersion, seatState } from '../memory/seats.ts';
import { storeRefusal, storeState } from '../memory/store-state.ts';
import { NO_ROOM, type Partition } from '../partition/partition.ts';
import type { Agent } from '../thread/agent.ts';
import type { OwnedPartitions } from './owned-partitions.ts';
import { Publisher } from './publisher.ts';
import { type AckHost, WaitingAcks } from './waiting-acks.ts';

/** Bytes taken from one lane before the next one has its turn. */
const LANE_TURN_BYTES = 256 * 1024;
const OK = CODES.ok.number;
const DUPLICATE = CODES.duplicate.number;
const ACK_UNSUPPORTED = CODES['ack-unsupported'].number;
const ROUTE_STALE = CODES['route-stale'].number;

export class BrokerAgent implements Agent, AckHost {
  readonly name: string;
  private readonly regions: Regions;
  private readonly seat: number;
  private readonly bells: Bells;
  private readonly counters: Counters;
  private readonly partitions: OwnedPartitions;
  private readonly publishers: (Publisher | undefined)[] = new Array(SEATS_MAX).fill(undefined);
  private readonly dirty: Partition[] = [];
  private readonly seatsToRing: number[] = [];
  private readonly seatRung = new Uint8Array(SEATS_MAX);
  /** A batch of this turn is to be on the disk soon. */
  private hurry = false;
  /** The store has a notice for which it was not rung. It looks by itself when its sleep is over, in 100 ms. */
  private storeOwed = false;
  /** Only if the broker keeps its data. */
  private readonly acks: WaitingAcks | undefined;
  /** Publishers with answers of acks that waited, not shown yet. */
  private readonly answering: Publisher[] = [];
  /** Code that the store refuses new batches with, as of this turn; 0: none. */
  private refusal = 0;
  private routeSeen = 0;

  constructor(regions: Regions, seat: number, partitions: OwnedPartitions) {
    this.name = `broker-${seat}`;
    this.regions = regions;
    this.seat = seat;
    this.bells = new Bells(regions.control);
    this.counters = new Counters(regions.control, seat);
    this.partitions = partitions;
    this.acks = regions.store && new WaitingAcks(regions, regions.store, seat, this);
  }

  /** Ends when the broker stops and no ack waits that the store may still bring about. */
  get finished(): boolean {
    const { control, store } = this.regions;
    if (brokerState(control) < CONTROL_STATES.stopped) return false;
    return !this.acks || !store || this.acks.size === 0 || storeState(store) !== STORE_STATES.running;
  }

  /**
   * Takes over a dead predecessor's rings: their readers may wait for a notice that died with it. And the acks that it
   * owes.
   */
  takeOver(): void {
    this.acks?.takeOver();
    for (const partition of this.partitions.recoverAll()) {
      partition.writer.eachReader((seat) => {
        this.publisher(seat).notices.push(partition.id);
        this.markToRing(seat);
      });
    }
    this.ringSeats();
  }

  work(nowMs: number): number {
    this.followRoutes();
    let did = this.releaseAcks();
    for (let half = 0; half < 2; half++) {
      let mask = openLanes(this.regions.control, this.seat, half as 0 | 1);
      while (mask !== 0) {
        const bit = 31 - Math.clz32(mask & -mask);
        mask &= mask - 1;
        did += this.serve(this.publisher(half * 32 + bit), nowMs);
      }
    }
    if (did > 0) this.counters.add(COUNTER.turns, 1);
    return did;
  }

  housekeep(_nowMs: number): void {
    beat(this.regions.control, this.seat);
    this.counters.publish();
    this.partitions.retireDeleted();
    this.partitions.eachHeldByStore(this.onHeld);
    this.ringSeats();
  }

  /** Drains a lane; one that is empty and whose producer has left is closed, so that its seat can be taken again. */
  private serve(publisher: Publisher, nowMs: number): number {
    const bytes = this.drain(publisher, nowMs);
    if (bytes > 0 || seatState(this.regions.control, publisher.seat) !== SEAT_STATES.dead) return bytes;
    if (!publisher.lane.hasNews) closeLane(this.regions.control, this.seat, publisher.seat);
    return 0;
  }

  /** Takes a bounded number of batches from one lane. Returns their bytes. HOT */
  private drain(publisher: Publisher, nowMs: number): number {
    const { lane, completions } = publisher;
    const { store } = this.regions;
    if (store) this.refusal = storeRefusal(store);
    let taken = 0;
    let bytes = 0;
    while (bytes < LANE_TURN_BYTES) {
      const at = lane.look();
      if (at === NONE) break;
      if (!completions.hasRoom() || !this.take(publisher, at, lane.frameLength, nowMs)) break;
      lane.consume();
      bytes += lane.frameLength;
      taken++;
    }
    if (taken === 0) return 0;
    this.publishDirty();
    this.acks?.publish();
    crashPoint('broker.appended');
    if (completions.publish()) this.markToRing(publisher.seat);
    lane.release();
    // A publisher that waits for room sleeps on its bell.
    this.markToRing(publisher.seat);
    this.ringSeats();
    this.counters.add(COUNTER.batchesIn, taken);
    this.counters.add(COUNTER.bytesIn, bytes);
    return bytes;
  }

  /** Appends one batch and answers it. False if it must stay in the lane until there is room. HOT */
  private take(publisher: Publisher, at: number, size: number, nowMs: number): boolean {
    const { words } = publisher.lane;
    const id = size >= BATCH_HEADER_BYTES ? words[(at + BATCH_PARTITION) >> 2] : NONE;
    const partition = this.partitions.find(id);
    const ack = words[(at + REQUEST_ACK) >> 2];
    let status = ROUTE_STALE;
    if (partition !== undefined) {
      status = this.append(publisher, partition, at, size, nowMs);
      if (status === NO_ROOM) return false;
    } else if (this.partitions.refusal !== 0) {
      status = this.partitions.refusal;
    }
    if (status !== OK) this.counters.add(status === DUPLICATE ? COUNTER.duplicates : COUNTER.rejected, 1);
    if (ack === ACK_LEVELS.none) return true;
    const request = words[(at + REQUEST_ID) >> 2];
    const count = words[(at + BATCH_COUNT) >> 2];
    if (partition === undefined) {
      publisher.completions.push(request, status, id, -1, count, 0);
    } else if (ack > ACK_LEVELS.accepted && size > BATCH_HEADER_BYTES && (status === OK || status === DUPLICATE)) {
      (this.acks as WaitingAcks).add(ack, publisher, request, status, partition, count);
    } else {
      publisher.completions.push(request, status, id, partition.baseOffset, count, partition.identity.epoch);
    }
    return true;
  }

  /** Code number, or NO_ROOM if the batch must stay in the lane. HOT */
  private append(publisher: Publisher, partition: Partition, at: number, size: number, nowMs: number): number {
    // A batch without records asks for the ring to be opened, which find() did.
    if (size === BATCH_HEADER_BYTES) return OK;
    const { words, bytes } = publisher.lane;
    const ack = words[(at + REQUEST_ACK) >> 2];
    if ((words[(at + REQUEST_FLAGS) >> 2] & REQUEST_LAZY) === 0) this.hurry = true;
    if (ack > ACK_LEVELS.accepted) {
      if (ack > ACK_LEVELS.durable || !this.acks || !partition.identity.durable) return ACK_UNSUPPORTED;
      if (!this.acks.hasRoom(ack)) return NO_ROOM;
    }
    const status = partition.append(bytes, words, at, size, nowMs, this.refusal);
    if (status === NO_ROOM) {
      this.ringStore();
      this.ringSeats();
      if ((words[(at + REQUEST_FLAGS) >> 2] & REQUEST_WAITS) !== 0) return NO_ROOM;
      partition.defer(words, at);
      return CODES.busy.number;
    }
    if (status === OK && !partition.dirty) {
      partition.dirty = true;
      this.dirty.push(partition);
    }
    return status;
  }

  /** Answers the acks that the disk has caught up with. HOT */
  private releaseAcks(): number {
    const { acks } = this;
    if (acks === undefined || acks.size === 0) return 0;
    const released = acks.release();
    if (released === 0) return 0;
    for (let i = 0; i < this.answering.length; i++) {
      const publisher = this.answering[i];
      publisher.completions.publish();
      this.markToRing(publisher.seat);
    }
    this.answering.length = 0;
    acks.forget();
    crashPoint('broker.released');
    this.ringSeats();
    return released;
  }

  /** A publisher has an answer of an ack that waited, to be shown at the end of the turn. HOT */
  answered(publisher: Publisher): void {
    if (this.answering.at(-1) !== publisher && !this.answering.includes(publisher)) this.answering.push(publisher);
  }

  /** Publishes the partitions that this turn appended to, and notices their readers. HOT */
  private publishDirty(): void {
    for (let i = 0; i < this.dirty.length; i++) {
      const partition = this.dirty[i];
      partition.dirty = false;
      const before = partition.published;
      if (!partition.publish()) continue;
      this.counters.add(COUNTER.messagesIn, partition.published - before);
      this.noticing = partition.id;
      partition.writer.eachNews(this.onNews);
    }
    this.dirty.length = 0;
    if (this.hurry) this.ringStore();
    this.hurry = false;
  }

  private noticing = 0;
  private readonly onNews = (seat: number): void => {
    this.publisher(seat).notices.push(this.noticing);
    if (seat === SEAT_STORE) this.storeOwed = true;
    else this.markToRing(seat);
  };

  /** For notices that it was not rung for before, too: what it has not looked at it is not given again. */
  private ringStore(): void {
    if (this.storeOwed) this.markToRing(SEAT_STORE);
    this.storeOwed = false;
  }

  /** The store may not know that it has a slot of a partition that was deleted. */
  private readonly onHeld = (id: number): void => {
    this.publisher(SEAT_STORE).notices.push(id);
    this.markToRing(SEAT_STORE);
  };

  private markToRing(seat: number): void {
    if (this.seatRung[seat] === 1) return;
    this.seatRung[seat] = 1;
    this.seatsToRing.push(seat);
  }

  private ringSeats(): void {
    for (let i = 0; i < this.seatsToRing.length; i++) {
      const seat = this.seatsToRing[i];
      this.seatRung[seat] = 0;
      this.bells.ring(seat);
    }
    this.seatsToRing.length = 0;
  }

  /** The ends of a seat's lanes. HOT */
  publisher(seat: number): Publisher {
    let publisher = this.publishers[seat];
    if (publisher === undefined) {
      publisher = new Publisher(this.regions, seat, this.seat);
      this.publishers[seat] = publisher;
    }
    return publisher;
  }

  private followRoutes(): void {
    const version = routeVersion(this.regions.control);
    if (version === this.routeSeen) return;
    this.routeSeen = version;
    this.partitions.refresh();
    this.acks?.routesChanged();
  }
}
