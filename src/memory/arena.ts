// Arenas: large shared buffers out of which the rings are carved.
//
// Who writes: an arena's rings are given out by one thread only, its owner (a broker worker). Everybody else only looks
// rings up by (arena id, byte). A successor of a dead owner rebuilds the free list from the partition table.
import { CONTROL_ARENA_NEXT } from '../../native-layout/control.ts';
import { assert } from '../base/fault.ts';

/** One arena as views. */
export interface Arena {
  readonly id: number;
  readonly buffer: SharedArrayBuffer;
  readonly bytes: Uint8Array;
  readonly words: Int32Array;
}

/** All arenas that this thread knows, by id. */
export class ArenaSet {
  private readonly arenas = new Map<number, Arena>();

  add(id: number, buffer: SharedArrayBuffer): Arena {
    const known = this.arenas.get(id);
    if (known) return known;
    const arena: Arena = { id, buffer, bytes: new Uint8Array(buffer), words: new Int32Array(buffer) };
    this.arenas.set(id, arena);
    return arena;
  }

  /** Forgets an arena whose owner has ended. Views that readers still hold stay valid. */
  delete(id: number): void {
    this.arenas.delete(id);
  }

  get(id: number): Arena | undefined {
    return this.arenas.get(id);
  }

  *[Symbol.iterator](): IterableIterator<Arena> {
    yield* this.arenas.values();
  }
}

/**
 * Bytes of an arena. Reserved, not committed: pages cost memory when they are first touched. Not larger, because Linux
 * refuses to fork (`spawn ENOMEM`) a process whose neighbouring reservations together exceed the machine's memory.
 */
export const ARENA_BYTES = 256 * 1024 * 1024;

/** A fresh arena id. */
export function claimArenaId(control: Int32Array): number {
  return Atomics.add(control, CONTROL_ARENA_NEXT, 1);
}

interface Gap {
  byte: number;
  length: number;
}

/** First-fit allocator over one arena. Owner thread only. */
export class ArenaAllocator {
  readonly arena: Arena;
  private readonly gaps: Gap[];

  constructor(arena: Arena) {
    this.arena = arena;
    this.gaps = [{ byte: 0, length: arena.bytes.length }];
  }

  /** Byte place of a fresh block, or -1 when nothing fits. */
  tryAllocate(lengthBytes: number): number {
    const at = this.gaps.findIndex((gap) => gap.length >= lengthBytes);
    if (at < 0) return -1;
    const gap = this.gaps[at];
    const byte = gap.byte;
    gap.byte += lengthBytes;
    gap.length -= lengthBytes;
    if (gap.length === 0) this.gaps.splice(at, 1);
    return byte;
  }

  /** Takes a block that is known to be in use: rebuilding after a restart. */
  reserve(byte: number, lengthBytes: number): void {
    const at = this.gaps.findIndex((gap) => gap.byte <= byte && byte + lengthBytes <= gap.byte + gap.length);
    assert(at >= 0, `arena ${this.arena.id}: block ${byte}+${lengthBytes} is in use twice`);
    const gap = this.gaps[at];
    const behind = { byte: byte + lengthBytes, length: gap.byte + gap.length - byte - lengthBytes };
    const before = { byte: gap.byte, length: byte - gap.byte };
    this.gaps.splice(at, 1, ...[before, behind].filter((piece) => piece.length > 0));
  }

  /** Gives a block back and joins it with its neighbours. */
  free(byte: number, lengthBytes: number): void {
    const at = this.gaps.findIndex((gap) => gap.byte > byte);
    const index = at < 0 ? this.gaps.length : at;
    const before = this.gaps[index - 1];
    const behind = this.gaps[index];
    assert(
      (!before || before.byte + before.length <= byte) && (!behind || byte + lengthBytes <= behind.byte),
      `arena ${this.arena.id}: block ${byte}+${lengthBytes} is freed twice`,
    );
    this.gaps.splice(index, 0, { byte, length: lengthBytes });
    this.joinAt(index);
    this.joinAt(index - 1);
  }

  private joinAt(index: number): void {
    const gap = this.gaps[index];
    const next = this.gaps[index + 1];
    if (!gap || !next || gap.byte + gap.length !== next.byte) return;
    gap.length += next.length;
    this.gaps.splice(index + 1, 1);
  }
}
