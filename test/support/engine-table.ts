// Real regions in one thread, for tests that drive agents by hand: small lanes, a table, an arena, batches to publish.
import { REQUEST_INSISTS, REQUEST_LAZY, REQUEST_WAITS } from '../../native-layout/batch.ts';
import { SEAT_FIRST_WORKER, SEAT_STATES } from '../../native-layout/control.ts';
import {
  COMPLETION_BASE_OFFSET,
  COMPLETION_COUNT,
  COMPLETION_PARTITION,
  COMPLETION_REQUEST,
  COMPLETION_STATUS,
} from '../../native-layout/lane.ts';
import { OVERFLOW_CODES, type OverflowPolicy } from '../../native-layout/partition-table.ts';
import { type CodeName, codeName } from '../../src/base/codes.ts';
import { BrokerAgent } from '../../src/broker/broker-agent.ts';
import { OwnedPartitions } from '../../src/broker/owned-partitions.ts';
import { ArenaSet, claimArenaId } from '../../src/memory/arena.ts';
import { Bells } from '../../src/memory/bell.ts';
import { FULL, LaneReader, LaneWriter, NONE } from '../../src/memory/lane.ts';
import { NoticeReader } from '../../src/memory/notice.ts';
import { activatePartition, readIdentity, readPlace } from '../../src/memory/partition-entry.ts';
import {
  type Attachment,
  attachRegions,
  createRegions,
  laneBack,
  laneTo,
  noticesFrom,
  type Regions,
} from '../../src/memory/regions.ts';
import { RingReader } from '../../src/memory/ring-reader.ts';
import { claimSeat, openLane, setPartitionsUsed, setRouteVersion } from '../../src/memory/seats.ts';
import { BatchBuilder } from '../../src/record/batch-builder.ts';
import { BatchView, RecordView } from '../../src/record/batch-view.ts';
import { getInt64 } from '../../src/record/int64.ts';

export const WORKER = SEAT_FIRST_WORKER;
export const RING = 16 * 1024;

export interface BatchOptions {
  readonly epoch?: number;
  readonly request?: number;
  readonly ack?: number;
  readonly waits?: boolean;
  readonly insists?: boolean;
  readonly lazy?: boolean;
  readonly producerId?: number;
  readonly sequence?: number;
}

/** A closed batch of text bodies. */
export function batchOf(partition: number, bodies: readonly string[], o: BatchOptions = {}): BatchBuilder {
  const builder = new BatchBuilder(64 * 1024);
  for (const body of bodies) builder.tryAddText(body, 1_700_000_000_000);
  builder.close({
    partition,
    epoch: o.epoch ?? 1,
    request: o.request ?? 0,
    ack: o.ack ?? 1,
    requestFlags: (o.insists ? REQUEST_INSISTS : o.waits === false ? 0 : REQUEST_WAITS) | (o.lazy ? REQUEST_LAZY : 0),
    producerId: o.producerId ?? 0,
    baseSequence: o.sequence ?? 0,
    checksum: false,
  });
  return builder;
}

/** Texts with their offsets in a pinned span, `offset:text`. */
export function textsIn(reader: RingReader): string[] {
  const found: string[] = [];
  for (let length = reader.tryPin(); length > 0; length = reader.tryPin()) {
    const view = new BatchView().span(reader.place.bytes, reader.place.words, reader.start, length);
    const record = new RecordView();
    while (view.next()) {
      record.open(view);
      while (record.next()) found.push(`${record.offset}:${record.text()}`);
    }
    reader.advance(length);
  }
  return found;
}

export interface Answer {
  readonly request: number;
  readonly code: CodeName;
  readonly partition: number;
  readonly baseOffset: number;
  readonly count: number;
}

/** Everything that one broker worker needs, and its publishers, in one thread. */
export class Table {
  readonly attachment: Attachment;
  readonly regions: Regions;
  readonly bells: Bells;
  /** What the log had of a partition when the broker started: whole batches. */
  readonly tails = new Map<number, Uint8Array>();
  readonly arenas = new ArenaSet();
  readonly arenaIds: number[] = [];
  arenasMax = 4;
  arenaBytes = 4 * RING;
  private version = 0;

  /** `durable`: the broker keeps its data, there is a store region. */
  constructor(durable = false, partitionMax = 64) {
    this.attachment = createRegions('test', {
      workerCount: 1,
      frontendCount: 0,
      partitionMax,
      laneBytes: 64 * 1024,
      replyBytes: 256,
      controlLaneBytes: 64 * 1024,
      durable,
    });
    this.regions = attachRegions(this.attachment);
    this.bells = new Bells(this.regions.control);
  }

  /** Brings a durable partition to life, owned by the worker, that goes on at `nextOffset`. */
  activateDurable(id: number, nextOffset = 0, overflow: OverflowPolicy = 'block', epoch = 1): void {
    const identity = { topic: 1, number: id, owner: WORKER, epoch, permission: 6, ringBytes: RING, durable: true };
    const history = { nextOffset, oldestOffset: 0 };
    activatePartition(this.regions.table, id, { ...identity, overflow: OVERFLOW_CODES[overflow] }, history);
    setPartitionsUsed(this.regions.control, Math.max(id + 1, 16));
    this.routesChanged();
  }

  /** Brings a partition to life, owned by the worker. */
  activate(id: number, overflow: OverflowPolicy = 'block', epoch = 1, ringBytes = RING, permission = 6): void {
    const identity = { topic: 1, number: id, owner: WORKER, epoch, permission, ringBytes, durable: false };
    activatePartition(this.regions.table, id, { ...identity, overflow: OVERFLOW_CODES[overflow] });
    setPartitionsUsed(this.regions.control, Math.max(id + 1, 16));
    this.routesChanged();
  }

  routesChanged(): void {
    setRouteVersion(this.regions.control, ++this.version);
  }

  owned(ringMemoryMaxBytes = 64 * RING): OwnedPartitions {
    return new OwnedPartitions({
      regions: this.regions,
      seat: WORKER,
      arenas: this.arenas,
      ownArenas: this.arenaIds,
      ringMemoryMaxBytes,
      recoveredTail: (id) => this.tails.get(id),
      addArena: (lengthBytes) => {
        if (this.arenaIds.length >= this.arenasMax) return -1;
        const id = claimArenaId(this.regions.control);
        this.arenas.add(id, new SharedArrayBuffer(Math.min(lengthBytes, this.arenaBytes)));
        this.arenaIds.push(id);
        return id;
      },
    });
  }

  agent(): BrokerAgent {
    return new BrokerAgent(this.regions, WORKER, this.owned());
  }

  reader(id: number, seat = 20, holds = false): RingReader {
    const place = readPlace(this.regions.table, id, this.arenas);
    if (!place) throw new Error(`partition ${id} has no ring`);
    const reader = RingReader.tryOpen(this.regions.table, id, place, this.bells, { seat, holds });
    if (!reader) throw new Error('no slot');
    return reader;
  }

  /** The store's reader of a durable partition. */
  journal(id: number): RingReader {
    const place = readPlace(this.regions.table, id, this.arenas);
    const reader = place && RingReader.tryAdopt(this.regions.table, id, place, this.bells);
    if (!reader) throw new Error(`partition ${id} has no journal slot`);
    return reader;
  }

  isActive(id: number): boolean {
    return readIdentity(this.regions.table, id) !== undefined;
  }

  publisher(seat = 20): Publisher {
    return new Publisher(this, seat);
  }
}

/** A publishing thread's ends of its lanes. */
export class Publisher {
  readonly seat: number;
  readonly lane: LaneWriter;
  private readonly back: LaneReader;
  private readonly news: NoticeReader;

  constructor(table: Table, seat: number) {
    const { regions } = table;
    const { laneWords, laneBytes, sizes, control } = regions;
    this.seat = claimSeat(control, seat, seat, 'embedded', 99);
    if (this.seat === NONE) throw new Error(`seat ${seat} is taken (${SEAT_STATES.taken})`);
    this.lane = new LaneWriter(laneWords, laneBytes, laneTo(sizes, seat, WORKER));
    this.back = new LaneReader(laneWords, laneBytes, laneBack(sizes, seat, WORKER));
    this.news = new NoticeReader(laneWords, noticesFrom(sizes, seat, WORKER));
    openLane(control, WORKER, seat);
  }

  /** Puts a batch into the lane and shows it. */
  send(batch: BatchBuilder): void {
    const at = this.lane.tryClaim(batch.length);
    if (at === FULL) throw new Error('the lane is full');
    this.lane.bytes.set(batch.bytes.subarray(0, batch.length), at);
    this.lane.commit(batch.length);
    this.lane.publish();
  }

  answers(): Answer[] {
    const found: Answer[] = [];
    for (let at = this.back.look(); at !== NONE; at = this.back.look()) {
      const { words } = this.back;
      found.push({
        request: words[(at + COMPLETION_REQUEST) >> 2],
        code: codeName(words[(at + COMPLETION_STATUS) >> 2]),
        partition: words[(at + COMPLETION_PARTITION) >> 2],
        baseOffset: getInt64(words, (at + COMPLETION_BASE_OFFSET) >> 2),
        count: words[(at + COMPLETION_COUNT) >> 2],
      });
      this.back.consume();
    }
    this.back.release();
    return found;
  }

  notices(): number[] {
    const found: number[] = [];
    for (let id = this.news.take(); id !== NONE; id = this.news.take()) found.push(id);
    return found;
  }
}
