// A thread's seat at the table with everything that belongs to it: lanes to the broker workers and back, the lines to
// the NameServer and the coordinator, notices about partitions, readers of rings. Front ends and in-process
// connections are built on it.

import { BATCH_HEADER_BYTES } from '../../native-layout/batch.ts';
import {
  CONTROL_STATES,
  SEAT_COORDINATOR,
  SEAT_FIRST_FREE,
  SEAT_FIRST_WORKER,
  SEAT_LOG_READER,
  SEAT_NAMESERVER,
  SEAT_STATES,
  SEATS_MAX,
} from '../../native-layout/control.ts';
import {
  COMPLETION_BASE_OFFSET,
  COMPLETION_BYTES,
  COMPLETION_COUNT,
  COMPLETION_PARTITION,
  COMPLETION_REQUEST,
  COMPLETION_STATUS,
} from '../../native-layout/lane.ts';
import { RingmqError } from '../base/codes.ts';
import { ArenaSet } from '../memory/arena.ts';
import { Bells, Doorbell } from '../memory/bell.ts';
import { copyBytes } from '../memory/copy.ts';
import { Counters } from '../memory/counters.ts';
import { FULL, LaneReader, LaneWriter, NONE } from '../memory/lane.ts';
import { NoticeReader } from '../memory/notice.ts';
import { placeNumbers, readIdentity, readPlace } from '../memory/partition-entry.ts';
import { type Attachment, attachRegions, laneBack, laneTo, noticesFrom, type Regions } from '../memory/regions.ts';
import type { ReaderOptions } from '../memory/ring-reader.ts';
import { RingReader } from '../memory/ring-reader.ts';
import type { RingPlace } from '../memory/ring-writer.ts';
import { beat, brokerState, burySeat, claimSeat, openLane, type SeatRole, seatState } from '../memory/seats.ts';
import { getInt64 } from '../record/int64.ts';
import { type Announcement, Announcements } from './announcements.ts';
import { COORDINATOR, ControlLane } from './control-lane.ts';
import { type History, openHistory } from './history.ts';
import { reportThreadEnds, stopReporting } from './thread-ends.ts';

/** What a participant hands on; each is called from work(). */
export interface ParticipantHandlers {
  /** A broker worker answered a batch. `partition` is the id. */
  completion(request: number, status: number, partition: number, baseOffset: number, count: number): void;
  /** The partition has news for this thread's readers. */
  notice(partition: number): void;
  /** A worker may have room again: a publisher that met a full lane may try again. */
  room(): void;
  announcement(announcement: Announcement): void;
}

/** One broker worker as this thread meets it. */
interface WorkerLink {
  readonly seat: number;
  readonly lane: LaneWriter;
  readonly back: LaneReader;
  readonly notices: NoticeReader;
  /** Bytes that the lane had no room for, and nobody was told of room since; 0: none. */
  wanted: number;
}

export class Participant {
  readonly regions: Regions;
  readonly seat: number;
  readonly bells: Bells;
  readonly doorbell: Doorbell;
  readonly counters: Counters;
  readonly arenas = new ArenaSet();
  readonly control: ControlLane;
  /** Calls to the coordinator. */
  readonly coordinator: ControlLane;
  /** What the log has; undefined if the broker keeps no data. */
  readonly history: History | undefined;
  readonly announcements: Announcements;
  private readonly handlers: ParticipantHandlers;
  private readonly links: WorkerLink[];
  private readonly report = (threadId: number): void => this.announcements.say({ type: 'thread-ended', threadId });

  /** Throws `seat-quota` if 64 threads take part already. */
  constructor(attachment: Attachment, role: SeatRole, threadId: number, handlers: ParticipantHandlers) {
    this.regions = attachRegions(attachment);
    if (brokerState(this.regions.control) >= CONTROL_STATES.stopping) {
      throw new RingmqError('shutting-down', 'the broker is stopped');
    }
    this.handlers = handlers;
    const { control, sizes } = this.regions;
    this.seat = claimSeat(control, SEAT_FIRST_FREE, SEATS_MAX - 1, role, threadId);
    if (this.seat === NONE) throw new RingmqError('seat-quota');
    this.bells = new Bells(control);
    this.doorbell = new Doorbell(control, this.seat);
    this.counters = new Counters(control, this.seat);
    this.announcements = new Announcements(attachment.id, this.arenas, (said) => handlers.announcement(said));
    reportThreadEnds(this.report);
    for (const arena of attachment.arenas) this.arenas.add(arena.id, arena.buffer);
    this.control = new ControlLane(this.regions, this.seat, this.bells);
    this.coordinator = new ControlLane(this.regions, this.seat, this.bells, COORDINATOR);
    this.history = openHistory(this.regions, this.seat, this.bells);
    this.links = Array.from({ length: sizes.workerCount }, (_, i) => this.link(SEAT_FIRST_WORKER + i));
    openLane(control, SEAT_NAMESERVER, this.seat);
    openLane(control, SEAT_COORDINATOR, this.seat);
    for (const link of this.links) openLane(control, link.seat, this.seat);
  }

  /** The lane to a broker worker; undefined if that seat is none. */
  laneOf(owner: number): LaneWriter | undefined {
    return this.links[owner - SEAT_FIRST_WORKER]?.lane;
  }

  /** Copies a closed batch into the lane of the partition's owner. False if the lane is full. HOT */
  tryPut(owner: number, bytes: Uint8Array, lengthBytes: number): boolean {
    const link = this.links[owner - SEAT_FIRST_WORKER];
    const { lane } = link;
    const at = lane.tryClaim(lengthBytes);
    if (at === FULL) {
      link.wanted = lengthBytes;
      return false;
    }
    copyBytes(lane.bytes, at, bytes, 0, lengthBytes);
    lane.commit(lengthBytes);
    return true;
  }

  /** True if tryPut() has room for a batch of this length, unless the lane wraps just there. HOT */
  hasRoom(owner: number, lengthBytes: number): boolean {
    const link = this.links[owner - SEAT_FIRST_WORKER];
    if (link.lane.hasRoom(lengthBytes)) return true;
    link.wanted = lengthBytes;
    return false;
  }

  /** Shows the worker what tryPut() put, and wakes it if it sleeps. */
  push(owner: number): void {
    if (this.links[owner - SEAT_FIRST_WORKER].lane.publish()) this.bells.ring(owner);
  }

  /** Asks the owner to open a partition's ring. The answer is a completion. False if the lane is full. */
  tryOpenRing(owner: number, header: Uint8Array): boolean {
    // The ring of a direct partition is there before its route: only its arena has not been heard of yet.
    if (this.laneOf(owner) === undefined) return true;
    if (!this.tryPut(owner, header, BATCH_HEADER_BYTES)) return false;
    this.push(owner);
    return true;
  }

  /**
   * Takes a reader's slot; undefined while the ring does not exist (or its arena is not known here yet), or if the
   * partition is not the one of `options.epoch` any more. Throws `reader-quota`.
   */
  tryOpenReader(partition: number, options: Omit<ReaderOptions, 'seat'>): RingReader | undefined {
    const { table } = this.regions;
    const place = this.placeOf(partition);
    if (!place) return undefined;
    const reader = RingReader.tryOpen(table, partition, place, this.bells, { ...options, seat: this.seat });
    if (reader) return reader;
    const isGone = options.epoch !== undefined && readIdentity(table, partition)?.epoch !== options.epoch;
    if (isGone) return undefined;
    throw new RingmqError('reader-quota');
  }

  private placeOf(partition: number): RingPlace | undefined {
    const { table } = this.regions;
    const place = readPlace(table, partition, this.arenas);
    if (place || !placeNumbers(table, partition)) return place;
    // The ring is there; its arena has not been heard of.
    this.announcements.poll();
    const heard = readPlace(table, partition, this.arenas);
    if (!heard) this.announcements.say({ type: 'arenas-wanted' });
    return heard;
  }

  /** Takes what has come: completions, notices, answers of all server threads. Returns how much. */
  work(): number {
    let did = this.control.work() + this.coordinator.work();
    if (this.history) did += this.history.work();
    for (let i = 0; i < this.links.length; i++) {
      const link = this.links[i];
      did += this.takeCompletions(link.back, link.seat);
      // Who wants no acknowledgements hears of room in no other way.
      if (link.wanted > 0 && link.lane.hasRoom(link.wanted)) {
        link.wanted = 0;
        this.handlers.room();
      }
      for (let partition = link.notices.take(); partition !== NONE; partition = link.notices.take()) {
        this.handlers.notice(partition);
        did++;
      }
    }
    return did;
  }

  /** What need not happen every turn. */
  housekeep(): void {
    beat(this.regions.control, this.seat);
    this.counters.publish();
    // Questions and calls do not end because somebody sets the clock.
    const now = performance.now();
    this.control.expire(now);
    this.coordinator.expire(now);
  }

  /**
   * Gives the seat up. What is still in its lanes is served before anybody can take it again: see `seatGiven`. Readers
   * must be closed.
   */
  close(): void {
    this.counters.publish();
    stopReporting(this.report);
    this.history?.close();
    burySeat(this.regions.control, this.seat);
    this.coordinator.close();
    this.bells.ring(SEAT_NAMESERVER);
    this.bells.ring(SEAT_COORDINATOR);
    for (const link of this.links) this.bells.ring(link.seat);
    if (this.history) this.bells.ring(SEAT_LOG_READER);
    this.announcements.say({ type: 'seat-left' });
    this.announcements.close();
  }

  /** True once the seat that close() gave up can be taken again, or nobody is left to clear it. */
  get seatGiven(): boolean {
    const { control } = this.regions;
    return seatState(control, this.seat) !== SEAT_STATES.dead || brokerState(control) >= CONTROL_STATES.stopped;
  }

  /** True when every worker has taken everything out of this thread's lanes. */
  get lanesEmpty(): boolean {
    return this.links.every((link) => link.lane.pendingBytes === 0);
  }

  private takeCompletions(back: LaneReader, owner: number): number {
    let taken = 0;
    for (let at = back.look(); at !== NONE; at = back.look()) {
      const words = back.words;
      this.handlers.completion(
        words[(at + COMPLETION_REQUEST) >> 2],
        words[(at + COMPLETION_STATUS) >> 2],
        words[(at + COMPLETION_PARTITION) >> 2],
        getInt64(words, (at + COMPLETION_BASE_OFFSET) >> 2),
        words[(at + COMPLETION_COUNT) >> 2],
      );
      back.consume();
      taken++;
    }
    if (taken > 0) {
      back.release();
      // The worker stops at a full lane and is not told by anybody else that there is room again.
      if (taken * COMPLETION_BYTES >= back.capacity >> 1) this.bells.ring(owner);
      this.handlers.room();
    }
    return taken;
  }

  private link(seat: number): WorkerLink {
    const { laneWords, laneBytes, sizes } = this.regions;
    const back = new LaneReader(laneWords, laneBytes, laneBack(sizes, this.seat, seat));
    const notices = new NoticeReader(laneWords, noticesFrom(sizes, this.seat, seat));
    // What a former holder of the seat left behind is not for us.
    while (back.look() !== NONE) back.consume();
    back.release();
    while (notices.take() !== NONE);
    return {
      seat,
      lane: new LaneWriter(laneWords, laneBytes, laneTo(sizes, this.seat, seat)),
      back,
      notices,
      wanted: 0,
    };
  }
}
