// The partitions that one broker worker owns: opened on their first batch, refreshed when routes change, returned when
// their topic is deleted and the last reader has left.
import { CODES } from '../base/codes.ts';
import { ARENA_BYTES, ArenaAllocator, type ArenaSet } from '../memory/arena.ts';
import { placeNumbers, publishPlace, readIdentity, readPlace, tryRetire } from '../memory/partition-entry.ts';
import type { Regions } from '../memory/regions.ts';
import type { RingPlace } from '../memory/ring-writer.ts';
import { partitionsUsed } from '../memory/seats.ts';
import { Partition } from '../partition/partition.ts';

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
      const identity = readIdentity(regions.table, id);
      if (identity?.owner === seat) found.push(this.open(id) as Partition);
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

  private tryReturn(id: number): boolean {
    const { table } = this.context.regions;
    const place = placeNumbers(table, id);
    if (!tryRetire(table, id)) return false;
    if (place) {
      this.allocators.find((one) => one.arena.id === place.arena)?.free(place.byte, place.capacity);
      this.usedBytes -= place.capacity;
    }
    return true;
  }

  private open(id: number): Partition | undefined {
    this.refusal = 0;
    const { regions, seat, arenas } = this.context;
    const identity = readIdentity(regions.table, id);
    if (identity === undefined || identity.owner !== seat) return undefined;
    const place = readPlace(regions.table, id, arenas) ?? this.carve(id, identity.ringBytes);
    if (!place) {
      this.refusal = CODES['memory-quota'].number;
      return undefined;
    }
    const partition = new Partition(regions.table, id, identity, place);
    this.partitions[id] = partition;
    return partition;
  }

  private carve(id: number, ringBytes: number): RingPlace | undefined {
    if (this.usedBytes + ringBytes > this.context.ringMemoryMaxBytes) return undefined;
    for (const allocator of this.allocators) {
      const place = this.tryCarve(allocator, id, ringBytes);
      if (place) return place;
    }
    const arena = this.context.addArena(Math.max(ARENA_BYTES, ringBytes));
    if (arena < 0) return undefined;
    const allocator = this.allocatorOf(arena);
    this.allocators.push(allocator);
    return this.tryCarve(allocator, id, ringBytes);
  }

  private tryCarve(allocator: ArenaAllocator, id: number, ringBytes: number): RingPlace | undefined {
    const byte = allocator.tryAllocate(ringBytes);
    if (byte < 0) return undefined;
    const { arena } = allocator;
    this.usedBytes += ringBytes;
    publishPlace(this.context.regions.table, id, arena.id, byte, ringBytes);
    return { bytes: arena.bytes, words: arena.words, byte, capacity: ringBytes };
  }

  private allocatorOf(id: number): ArenaAllocator {
    const arena = this.context.arenas.get(id);
    if (!arena) throw new Error(`arena ${id} is not known to its owner`);
    return new ArenaAllocator(arena);
  }
}
