// The partitions that one broker worker owns: opened on their first batch, refreshed when routes change, returned when
// their topic is deleted and the last reader has left.
//
// Order of opening: ring, its first batches (of a durable partition: the newest that the log has), the store's slot,
// and only then the place. Nobody sees a ring that is being filled, and nobody sees a durable one that is not held.
import { CODES } from '../base/codes.ts';
import { ARENA_BYTES, ArenaAllocator, type ArenaSet } from '../memory/arena.ts';
import { openJournalSlot, tryNoticeJournal } from '../memory/journal.ts';
import {
  type PartitionIdentity,
  placeNumbers,
  publishPlace,
  readIdentity,
  readPlace,
  resetRing,
  startOffset,
  tryRetire,
} from '../memory/partition-entry.ts';
import type { Regions } from '../memory/regions.ts';
import { type RingPlace, RingWriter } from '../memory/ring-writer.ts';
import { partitionsUsed } from '../memory/seats.ts';
import { Partition } from '../partition/partition.ts';
import { preloadOf, tailFor } from '../partition/preload.ts';

/** A ring is filled up to this part of it when it is opened: the rest is for what comes. */
const PRELOAD_DIVISOR = 2;

/** What the worker needs from its thread. */
export interface OwnedPartitionsContext {
  readonly regions: Regions;
  readonly seat: number;
  readonly arenas: ArenaSet;
  /** Makes one more arena, told to all threads, and returns its id; -1 if the memory quota is used up. */
  readonly addArena: (lengthBytes: number) => number;
  /** Ids of the arenas that this worker carves rings out of (known after a restart). */
  readonly ownArenas: readonly number[];
  /** Most ring bytes of this worker. */
  readonly ringMemoryMaxBytes: number;
  /**
   * The newest batches that the log had of a durable partition when the broker started: whole, verified, oldest first,
   * about `lengthBytes`. Undefined if there are none. Asked for when the partition gets its ring.
   */
  readonly recoveredTail?: (id: number) => Uint8Array | undefined;
}

/** A ring that was carved and that nobody has seen yet. */
interface Carved {
  readonly place: RingPlace;
  readonly arena: number;
}

/** A ring that was opened, and what the log had that it begins with. */
interface OpenedRing {
  readonly place: RingPlace;
  readonly tail: Uint8Array | undefined;
}

export class OwnedPartitions {
  /** Code number of why the last find() found nothing; 0 if the partition is simply not ours. */
  refusal = 0;
  private readonly context: OwnedPartitionsContext;
  private readonly partitions: (Partition | undefined)[] = [];
  private readonly allocators: ArenaAllocator[] = [];
  private deleted: number[] = [];
  private usedBytes = 0;

  constructor(context: OwnedPartitionsContext) {
    this.context = context;
    for (const id of context.ownArenas) this.allocators.push(this.allocatorOf(id));
  }

  /** The partition, opened if this is its first batch; undefined if it is not ours or cannot be opened. HOT */
  find(id: number): Partition | undefined {
    const partition = this.partitions[id];
    return partition !== undefined ? partition : this.open(id);
  }

  /** After a restart: opens every partition of ours that has a ring, and rebuilds the free lists. */
  recoverAll(): Partition[] {
    const { regions, seat } = this.context;
    const found: Partition[] = [];
    for (let id = 0; id < partitionsUsed(regions.control); id++) {
      const place = placeNumbers(regions.table, id);
      if (!place) continue;
      const allocator = this.allocators.find((one) => one.arena.id === place.arena);
      if (!allocator) continue;
      allocator.reserve(place.byte, place.capacity);
      this.usedBytes += place.capacity;
      const isOurs = readIdentity(regions.table, id)?.owner === seat;
      // It may be deleted just now.
      const partition = isOurs ? this.open(id) : undefined;
      if (partition) found.push(partition);
      else this.deleted.push(id);
    }
    return found;
  }

  /** Routes have changed: permissions are read again, partitions that are gone are set aside. */
  refresh(): void {
    for (let id = 0; id < this.partitions.length; id++) {
      const partition = this.partitions[id];
      if (partition === undefined || partition.refresh()) continue;
      this.partitions[id] = undefined;
      this.deleted.push(id);
    }
  }

  /** Returns the rings of deleted partitions that nobody reads any more. */
  retireDeleted(): void {
    if (this.deleted.length === 0) return;
    this.deleted = this.deleted.filter((id) => !this.tryReturn(id));
  }

  /** Calls `notice` for each deleted partition that the store must be told of: it still has a slot there. */
  eachHeldByStore(notice: (id: number) => void): void {
    for (const id of this.deleted) if (tryNoticeJournal(this.context.regions.table, id)) notice(id);
  }

  private tryReturn(id: number): boolean {
    const { table } = this.context.regions;
    const place = placeNumbers(table, id);
    if (!tryRetire(table, id)) return false;
    if (place) this.give(place.arena, place.byte, place.capacity);
    return true;
  }

  private open(id: number): Partition | undefined {
    this.refusal = 0;
    const { regions, seat, arenas } = this.context;
    const { table } = regions;
    const identity = readIdentity(table, id);
    if (identity === undefined || identity.owner !== seat) return undefined;
    const known = readPlace(table, id, arenas);
    // What a ring has that is there already is newer than the log as it was found at the start.
    const opened = known ? { place: known, tail: undefined } : this.openRing(id, identity);
    if (!opened) return undefined;
    const partition = new Partition(table, id, identity, opened.place, opened.tail);
    this.partitions[id] = partition;
    return partition;
  }

  /** Makes the partition's ring and shows it; undefined, with the reason in `refusal`, if that cannot be. */
  private openRing(id: number, identity: PartitionIdentity): OpenedRing | undefined {
    const { table } = this.context.regions;
    const carved = this.carve(identity.ringBytes);
    if (!carved) {
      this.refusal = CODES['memory-quota'].number;
      return undefined;
    }
    const { place, arena } = carved;
    resetRing(table, id);
    // Not before there is room: a partition that is refused is asked for with every batch.
    const tail = identity.durable ? this.tailOf(id) : undefined;
    if (identity.durable) {
      if (tail) this.preload(id, identity, place, tail);
      if (!openJournalSlot(table, id)) {
        this.give(arena, place.byte, place.capacity);
        this.refusal = CODES.busy.number;
        return undefined;
      }
    }
    publishPlace(table, id, arena, place.byte, place.capacity);
    return { place, tail };
  }

  /** The newest batches that the log has, up to where this life of the partition begins. */
  private tailOf(id: number): Uint8Array | undefined {
    const nextOffset = startOffset(this.context.regions.table, id);
    const tail = nextOffset > 0 ? this.context.recoveredTail?.(id) : undefined;
    return tail && tailFor(tail, id, nextOffset);
  }

  /** Puts the newest batches of the log into a fresh ring. */
  private preload(id: number, identity: PartitionIdentity, place: RingPlace, tail: Uint8Array): void {
    const { table } = this.context.regions;
    const writer = new RingWriter(table, id, place, identity.overflow);
    const lengthMaxBytes = place.capacity / PRELOAD_DIVISOR;
    writer.preload(preloadOf(tail, lengthMaxBytes, writer.batchMax), startOffset(table, id));
  }

  private carve(ringBytes: number): Carved | undefined {
    if (this.usedBytes + ringBytes > this.context.ringMemoryMaxBytes) return undefined;
    for (const allocator of this.allocators) {
      const carved = this.tryCarve(allocator, ringBytes);
      if (carved) return carved;
    }
    const arena = this.context.addArena(Math.max(ARENA_BYTES, ringBytes));
    if (arena < 0) return undefined;
    const allocator = this.allocatorOf(arena);
    this.allocators.push(allocator);
    return this.tryCarve(allocator, ringBytes);
  }

  private tryCarve(allocator: ArenaAllocator, ringBytes: number): Carved | undefined {
    const byte = allocator.tryAllocate(ringBytes);
    if (byte < 0) return undefined;
    const { arena } = allocator;
    this.usedBytes += ringBytes;
    return { place: { bytes: arena.bytes, words: arena.words, byte, capacity: ringBytes }, arena: arena.id };
  }

  /** Takes a ring's memory back. */
  private give(arena: number, byte: number, capacity: number): void {
    this.allocators.find((one) => one.arena.id === arena)?.free(byte, capacity);
    this.usedBytes -= capacity;
  }

  private allocatorOf(id: number): ArenaAllocator {
    const arena = this.context.arenas.get(id);
    if (!arena) throw new Error(`arena ${id} is not known to its owner`);
    return new ArenaAllocator(arena);
  }
}
