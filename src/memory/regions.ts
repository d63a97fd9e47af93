// The shared regions of one broker: made once by the supervisor, attached by every thread that takes part.
//
//   control    who takes part, who sleeps (native-layout/control.ts)
//   table      one entry per partition (native-layout/partition-table.ts)
//   lanes      for every (seat, server thread): lane there, lane back, notice ring of workers (native-layout/lane.ts)
//   store      acks that wait for the disk, lanes to the log reader (native-layout/store.ts); only if data is kept
//   arenas     rings; more are added while the broker runs (arena.ts)
//
// All are reserved at full size and committed by the operating system page by page when touched: an unused lane, entry
// or arena costs nothing.
import {
  CONTROL_FRONTEND_COUNT,
  CONTROL_HEADER_BYTES,
  CONTROL_LAYOUT_VERSION,
  CONTROL_MAGIC,
  CONTROL_MAGIC_VALUE,
  CONTROL_PARTITION_MAX,
  CONTROL_SEAT_COUNT,
  CONTROL_WORKER_COUNT,
  SEAT_BYTES,
  SEAT_COORDINATOR,
  SEAT_FIRST_WORKER,
  SEAT_NAMESERVER,
  SEATS_MAX,
  WORKERS_MAX,
} from '../../native-layout/control.ts';
import { LANE_CONTROL_BYTES, NOTICE_CONTROL_BYTES } from '../../native-layout/lane.ts';
import { LAYOUT_VERSION } from '../../native-layout/layout.ts';
import { PARTITION_ENTRY_BYTES } from '../../native-layout/partition-table.ts';
import {
  LEDGER_BYTES,
  READ_CHUNK_BYTES,
  READ_REQUEST_LANE_BYTES,
  RUN_LANE_BYTES,
  STORE_HEADER_BYTES,
} from '../../native-layout/store.ts';
import { assert } from '../base/fault.ts';
import type { LanePlace } from './lane.ts';

/** Sizes that every thread must agree on; they travel with the attachment. */
export interface RegionSizes {
  /** Broker workers, 1 to 16. */
  readonly workerCount: number;
  readonly frontendCount: number;
  /** Most partitions of all topics together; a power of two. */
  readonly partitionMax: number;
  /** Bytes of a lane from a thread to a broker worker; a power of two. */
  readonly laneBytes: number;
  /** Bytes of the lane back (completions); a power of two. */
  readonly replyBytes: number;
  /** Bytes of the lanes to and from the NameServer; a power of two. */
  readonly controlLaneBytes: number;
  /** The broker keeps its data: there is a store region. Default false. */
  readonly durable?: boolean;
}

/** One arena: its id, the seat that carves rings out of it, its memory. */
export interface ArenaEntry {
  readonly id: number;
  readonly owner: number;
  readonly buffer: SharedArrayBuffer;
}

/** Everything a thread needs to take part. Plain data: it travels in `workerData` or a message. */
export interface Attachment {
  /** Names the broker inside the process, and its BroadcastChannel. */
  readonly id: string;
  readonly layoutVersion: number;
  readonly sizes: RegionSizes;
  readonly control: SharedArrayBuffer;
  readonly table: SharedArrayBuffer;
  readonly lanes: SharedArrayBuffer;
  /** Only if the broker keeps its data. */
  readonly store?: SharedArrayBuffer;
  /** Folder of the key index, for queries. Only if the broker keeps its data. */
  readonly keysFolder?: string;
  readonly arenas: readonly ArenaEntry[];
}

/** Views of the regions for one thread. */
export interface Regions {
  readonly id: string;
  readonly sizes: RegionSizes;
  readonly control: Int32Array;
  readonly table: Int32Array;
  readonly laneWords: Int32Array;
  readonly laneBytes: Uint8Array;
  /** Only if the broker keeps its data. */
  readonly store?: StoreRegion;
}

/** Views of the store region. */
export interface StoreRegion {
  readonly words: Int32Array;
  readonly bytes: Uint8Array;
}

/** Byte places of lanes are int32. */
export const LANES_BYTES_MAX = 2 ** 31;

/** Makes the regions. The caller adds arenas. */
export function createRegions(id: string, sizes: RegionSizes): Attachment {
  assertSizes(sizes);
  const attachment: Attachment = {
    id,
    layoutVersion: LAYOUT_VERSION,
    sizes,
    control: new SharedArrayBuffer(CONTROL_HEADER_BYTES + SEATS_MAX * SEAT_BYTES),
    table: new SharedArrayBuffer(sizes.partitionMax * PARTITION_ENTRY_BYTES),
    lanes: new SharedArrayBuffer(lanesBytes(sizes)),
    ...(sizes.durable ? { store: new SharedArrayBuffer(storeBytes(sizes)) } : {}),
    arenas: [],
  };
  const header = new Int32Array(attachment.control);
  Atomics.store(header, CONTROL_LAYOUT_VERSION, LAYOUT_VERSION);
  Atomics.store(header, CONTROL_WORKER_COUNT, sizes.workerCount);
  Atomics.store(header, CONTROL_FRONTEND_COUNT, sizes.frontendCount);
  Atomics.store(header, CONTROL_SEAT_COUNT, SEATS_MAX);
  Atomics.store(header, CONTROL_PARTITION_MAX, sizes.partitionMax);
  Atomics.store(header, CONTROL_MAGIC, CONTROL_MAGIC_VALUE);
  return attachment;
}

function assertSizes(sizes: RegionSizes): void {
  assert(sizes.workerCount >= 1 && sizes.workerCount <= WORKERS_MAX, `workers must be 1 to ${WORKERS_MAX}`);
  const { partitionMax, laneBytes, replyBytes, controlLaneBytes } = sizes;
  for (const size of [partitionMax, laneBytes, replyBytes, controlLaneBytes]) {
    assert(size > 0 && (size & (size - 1)) === 0, `${size} is not a power of two`);
  }
  const bytes = Math.max(lanesBytes(sizes), sizes.durable ? storeBytes(sizes) : 0);
  assert(bytes <= LANES_BYTES_MAX, `lanes of ${bytes} bytes: byte places must fit an int32`);
}

/** Views of an attachment; refuses one that another version of the package made. */
export function attachRegions(attachment: Attachment): Regions {
  const control = new Int32Array(attachment.control);
  assert(Atomics.load(control, CONTROL_MAGIC) === CONTROL_MAGIC_VALUE, 'this is no ringmq attachment');
  const version = Atomics.load(control, CONTROL_LAYOUT_VERSION);
  assert(
    version === LAYOUT_VERSION,
    `the broker has layout ${version}, this code ${LAYOUT_VERSION}: use one version of ringmq`,
  );
  return {
    id: attachment.id,
    sizes: attachment.sizes,
    control,
    table: new Int32Array(attachment.table),
    laneWords: new Int32Array(attachment.lanes),
    laneBytes: new Uint8Array(attachment.lanes),
    ...(attachment.store
      ? { store: { words: new Int32Array(attachment.store), bytes: new Uint8Array(attachment.store) } }
      : {}),
  };
}

/** The same, for a thread that cannot do without the store region. */
export function storeRegions(regions: Regions): Regions & { readonly store: StoreRegion } {
  const { store } = regions;
  assert(store !== undefined, 'the broker keeps no data');
  return { ...regions, store };
}

// The lanes of a seat: [to NameServer][from NameServer][to coordinator][from coordinator], then for each worker
// [to][back][notices].

function noticeBytes(sizes: RegionSizes): number {
  // Twice the partitions: a slot that changes hands may leave one notice too many behind.
  return sizes.partitionMax * 2 * 4;
}

function workerLanesBytes(sizes: RegionSizes): number {
  return (
    LANE_CONTROL_BYTES +
    sizes.laneBytes +
    LANE_CONTROL_BYTES +
    sizes.replyBytes +
    NOTICE_CONTROL_BYTES +
    noticeBytes(sizes)
  );
}

function nameserverLanesBytes(sizes: RegionSizes): number {
  return 2 * (LANE_CONTROL_BYTES + sizes.controlLaneBytes);
}

/** Larger messages than half of this are leased, scheduled and moved by nobody: lanes of all seats must stay small. */
const COORDINATOR_LANE_BYTES_MAX = 4 * 1024 * 1024;

/** Bytes of a lane to or from the coordinator: calls and answers carry messages, and the largest one should fit. */
function coordinatorLaneBytes(sizes: RegionSizes): number {
  return Math.max(sizes.controlLaneBytes, Math.min(sizes.laneBytes * 2, COORDINATOR_LANE_BYTES_MAX));
}

/** Bytes of the lanes to and from the NameServer and the coordinator. */
function controlLanesBytes(sizes: RegionSizes): number {
  return nameserverLanesBytes(sizes) + 2 * (LANE_CONTROL_BYTES + coordinatorLaneBytes(sizes));
}

function seatLanesBytes(sizes: RegionSizes): number {
  return controlLanesBytes(sizes) + sizes.workerCount * workerLanesBytes(sizes);
}

/** Bytes of the lanes of all seats. */
export function lanesBytes(sizes: RegionSizes): number {
  return SEATS_MAX * seatLanesBytes(sizes);
}

function laneBase(sizes: RegionSizes, seat: number, serverSeat: number): number {
  const base = seat * seatLanesBytes(sizes);
  if (serverSeat === SEAT_NAMESERVER) return base;
  if (serverSeat === SEAT_COORDINATOR) return base + nameserverLanesBytes(sizes);
  return base + controlLanesBytes(sizes) + (serverSeat - SEAT_FIRST_WORKER) * workerLanesBytes(sizes);
}

/** Bytes of a lane to a server thread that is no broker worker. */
function controlCapacity(sizes: RegionSizes, serverSeat: number): number | undefined {
  if (serverSeat === SEAT_NAMESERVER) return sizes.controlLaneBytes;
  return serverSeat === SEAT_COORDINATOR ? coordinatorLaneBytes(sizes) : undefined;
}

/** Lane on which `seat` sends to a server thread (the NameServer, the coordinator or a broker worker). */
export function laneTo(sizes: RegionSizes, seat: number, serverSeat: number): LanePlace {
  const capacity = controlCapacity(sizes, serverSeat) ?? sizes.laneBytes;
  return { byte: laneBase(sizes, seat, serverSeat), capacity };
}

/** Lane on which that server thread answers. */
export function laneBack(sizes: RegionSizes, seat: number, serverSeat: number): LanePlace {
  const there = laneTo(sizes, seat, serverSeat);
  const capacity = controlCapacity(sizes, serverSeat) ?? sizes.replyBytes;
  return { byte: there.byte + LANE_CONTROL_BYTES + there.capacity, capacity };
}

/** Ring of notices from a broker worker to `seat`. */
export function noticesFrom(sizes: RegionSizes, seat: number, serverSeat: number): LanePlace {
  const back = laneBack(sizes, seat, serverSeat);
  return { byte: back.byte + LANE_CONTROL_BYTES + back.capacity, capacity: noticeBytes(sizes) };
}

// The store region: [header], for each worker [written ledger][durable ledger], [run lane], for each seat [requests]
// [answers].

/** Byte place of a worker's ledger of acks that wait for `written` (0) or `durable` (1). */
export function ledgerPlace(sizes: RegionSizes, workerSeat: number, level: 0 | 1): number {
  assert(workerSeat - SEAT_FIRST_WORKER < sizes.workerCount, `seat ${workerSeat} is no broker worker`);
  return STORE_HEADER_BYTES + ((workerSeat - SEAT_FIRST_WORKER) * 2 + level) * LEDGER_BYTES;
}

/** Lane on which the store tells the log reader what it has written. */
export function runLane(sizes: RegionSizes): LanePlace {
  return { byte: STORE_HEADER_BYTES + sizes.workerCount * 2 * LEDGER_BYTES, capacity: RUN_LANE_BYTES };
}

/** Bytes of a lane of answers: at least two of the largest batch that a lane takes. */
function answerLaneBytes(sizes: RegionSizes): number {
  return Math.max(4 * READ_CHUNK_BYTES, sizes.laneBytes * 2);
}

function readLanesBytes(sizes: RegionSizes): number {
  return LANE_CONTROL_BYTES + READ_REQUEST_LANE_BYTES + LANE_CONTROL_BYTES + answerLaneBytes(sizes);
}

/** Lane on which a seat asks the log reader. */
export function readLane(sizes: RegionSizes, seat: number): LanePlace {
  const runs = runLane(sizes);
  const base = runs.byte + LANE_CONTROL_BYTES + runs.capacity;
  return { byte: base + seat * readLanesBytes(sizes), capacity: READ_REQUEST_LANE_BYTES };
}

/** Lane on which the log reader answers a seat. */
export function answerLane(sizes: RegionSizes, seat: number): LanePlace {
  const there = readLane(sizes, seat);
  return { byte: there.byte + LANE_CONTROL_BYTES + there.capacity, capacity: answerLaneBytes(sizes) };
}

/** Bytes of the store region. */
export function storeBytes(sizes: RegionSizes): number {
  return readLane(sizes, SEATS_MAX).byte;
}
