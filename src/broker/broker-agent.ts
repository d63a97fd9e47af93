// A broker worker: takes batches from the lanes of all publishing threads and writes them into the rings of the
// partitions that it owns. Cost is per batch and per byte, never per message.
//
// Order inside a turn, which makes a death at any point harmless: rings are published, then notices, then completions,
// and only then the lanes are given back. A successor finds the same frames again and recognises what was accepted.
import {
  BATCH_HEADER_BYTES,
  BATCH_PARTITION,
  REQUEST_ACK,
  REQUEST_FLAGS,
  REQUEST_ID,
  REQUEST_WAITS,
} from '../../native-layout/batch.ts';
import { CONTROL_STATES, SEAT_STATES, SEATS_MAX } from '../../native-layout/control.ts';
import { CODES } from '../base/codes.ts';
import { ACK_LEVELS } from '../base/units.ts';
import { Bells } from '../memory/bell.ts';
import { COUNTER, Counters } from '../memory/counters.ts';
import { LaneReader, LaneWriter, NONE } from '../memory/lane.ts';
import { NoticeWriter } from '../memory/notice.ts';
import { laneBack, laneTo, noticesFrom, type Regions } from '../memory/regions.ts';
import { beat, brokerState, closeLane, openLanes, routeVersion, seatState } from '../memory/seats.ts';
import { NO_ROOM, type Partition } from '../partition/partition.ts';
import type { Agent } from '../thread/agent.ts';
import { CompletionWriter } from './completions.ts';
import type { OwnedPartitions } from './owned-partitions.ts';

/** Bytes taken from one lane before the next one has its turn. */
const LANE_TURN_BYTES = 256 * 1024;
const OK = CODES.ok.number;
const DUPLICATE = CODES.duplicate.number;

/** The two ends of one publishing thread's lanes. */
class Publisher {
  readonly seat: number;
  readonly lane: LaneReader;
  readonly completions: CompletionWriter;
  readonly notices: NoticeWriter;

  constructor(regions: Regions, seat: number, ownSeat: number) {
    this.seat = seat;
    this.lane = new LaneReader(regions.laneWords, regions.laneBytes, laneTo(regions.sizes, seat, ownSeat));
    const back = new LaneWriter(regions.laneWords, regions.laneBytes, laneBack(regions.sizes, seat, ownSeat));
    this.completions = new CompletionWriter(back);
    this.notices = new NoticeWriter(regions.laneWords, noticesFrom(regions.sizes, seat, ownSeat));
  }
}

export class BrokerAgent implements Agent {
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
  private routeSeen = 0;

  constructor(regions: Regions, seat: number, partitions: OwnedPartitions) {
    this.name = `broker-${seat}`;
    this.regions = regions;
    this.seat = seat;
    this.bells = new Bells(regions.control);
    this.counters = new Counters(regions.control, seat);
    this.partitions = partitions;
  }

  /** Ends when the broker stops and every lane is empty. */
  get finished(): boolean {
    return brokerState(this.regions.control) >= CONTROL_STATES.stopped;
  }

  /** Takes over a dead predecessor's rings: their readers may wait for a notice that died with it. */
  takeOver(): void {
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
    let did = 0;
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
    const lane = publisher.lane;
    let taken = 0;
    let bytes = 0;
    while (bytes < LANE_TURN_BYTES) {
      const at = lane.look();
      if (at === NONE) break;
      if (!publisher.completions.hasRoom() || !this.take(publisher, at, lane.frameLength, nowMs)) break;
      lane.consume();
      bytes += lane.frameLength;
      taken++;
    }
    if (taken === 0) return 0;
    this.publishDirty();
    if (publisher.completions.publish()) this.markToRing(publisher.seat);
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
    const { words, bytes } = publisher.lane;
    const id = size >= BATCH_HEADER_BYTES ? words[(at + BATCH_PARTITION) >> 2] : NONE;
    const partition = this.partitions.find(id);
    let status: number = CODES['route-stale'].number;
    if (partition !== undefined) {
      // A batch without records asks for the ring to be opened, which find() did.
      status = size === BATCH_HEADER_BYTES ? OK : partition.append(bytes, words, at, size, nowMs);
      if (status === NO_ROOM) {
        if ((words[(at + REQUEST_FLAGS) >> 2] & REQUEST_WAITS) !== 0) return false;
        partition.defer(words, at);
        status = CODES.busy.number;
      } else if (status === OK && !partition.dirty) {
        partition.dirty = true;
        this.dirty.push(partition);
      }
    } else if (this.partitions.refusal !== 0) {
      status = this.partitions.refusal;
    }
    if (status !== OK) this.counters.add(status === DUPLICATE ? COUNTER.duplicates : COUNTER.rejected, 1);
    if (words[(at + REQUEST_ACK) >> 2] !== ACK_LEVELS.none) {
      publisher.completions.push(words[(at + REQUEST_ID) >> 2], status, id, partition, words, at);
    }
    return true;
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
  }

  private noticing = 0;
  private readonly onNews = (seat: number): void => {
    this.publisher(seat).notices.push(this.noticing);
    this.markToRing(seat);
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

  private publisher(seat: number): Publisher {
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
  }
}
