// What a producer needs from its transport: routes, a way out for closed batches, and answers.
import type { RingmqError } from '../base/codes.ts';
import type { TopicRoute } from '../wire/commands.ts';
import type { BatchPool } from './batch-pool.ts';

/** Hears the answer to one batch. */
export interface Expecting {
  /** A code number, and the offset of the first message where there is one. */
  answered(status: number, baseOffset: number): void;
  /** The connection was lost before the answer came; batches kept by the producer go out again. */
  lost(): void;
}

export interface Outlet {
  /** Memory of batches, for all producers of the connection. */
  readonly pool: BatchPool;
  /** Publishers in the process wait for room in a ring; others are told `busy` and send again. */
  readonly waits: boolean;
  /** Batches leave shared memory: fill the CRC, and keep the bytes until acknowledged. */
  readonly leavesMemory: boolean;
  /** Rejects with what the NameServer refuses with. */
  route(topic: string, create: boolean): Promise<TopicRoute>;
  /** Makes a request id and registers who hears its answer. */
  expect(expecting: Expecting): number;
  /** Forgets a request: its answer will be ignored. */
  forget(request: number): void;
  /** Copies a closed batch out. False if there is no room now; onRoom() tells when to try again. HOT */
  tryPut(owner: number, bytes: Uint8Array, lengthBytes: number): boolean;
  /** What the batches of a partition wait for that tryPut() declines, if it is more than room. */
  waitsFor?(partition: number): RingmqError | undefined;
  /** True while there is room for a batch of `lengthBytes`. HOT */
  hasRoom(owner: number, lengthBytes: number): boolean;
  /** After tryPut(): wakes whoever takes it. */
  push(owner: number): void;
  /** Runs `flush` at the end of this event-loop turn. */
  soon(flush: () => void): void;
  /** Milliseconds of a clock that nobody sets. */
  now(): number;
}
