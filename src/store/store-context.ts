// What a store thread needs of its process.
import type { BlockBuilder } from '../log/block-builder.ts';
import type { Disk } from '../log/disk.ts';
import type { LogWriter } from '../log/log-writer.ts';
import type { ArenaSet } from '../memory/arena.ts';
import type { Regions, StoreRegion } from '../memory/regions.ts';

/** What people should hear of. `error` of `failed` is the disk's. */
export type StoreEvent =
  | { readonly type: 'full' | 'failed'; readonly error: Error }
  /** There is room again. */
  | { readonly type: 'room' };

export interface StoreContext {
  readonly regions: Regions & { readonly store: StoreRegion };
  readonly seat: number;
  readonly arenas: ArenaSet;
  readonly writer: LogWriter;
  readonly builder: BlockBuilder;
  readonly mode: 'direct' | 'buffered';
  /** Folder of the log. */
  readonly disk: Disk;
  /** Counts the starts of the broker. */
  readonly generation: number;
  /** Offset behind what the log had of a partition when this thread started; 0 if nothing. */
  readonly logNext: (topicId: number, partition: number) => number;
  /** Hears what other threads announced (arenas) without an event loop. */
  readonly hear: () => void;
  /** Asks for the announcements of all arenas. */
  readonly wantArenas: () => void;
  readonly report: (event: StoreEvent) => void;
}
