// The key index of the broker as front ends and threads of the embedding program read it. lmdb is loaded when the first
// key is looked for.
import { STORE_INDEXED_LOW, STORE_WRITTEN_LOW } from '../../native-layout/store.ts';
import { RingmqError } from '../base/codes.ts';
import type { StoreRegion } from '../memory/regions.ts';
import { storeNumber } from '../memory/store-state.ts';
import type { KeyIndexReader } from './key-index.ts';

/** After this time the index is opened again: the log reader may have begun it anew, in other files. */
const RENEW_MS = 5_000;
/** Time that a query by key gives the index to catch up with what is stored. */
const INDEX_WAIT_MS = 1_000;
const LOOK_MS = 5;

/** The index follows the log at its own pace: what was stored before the call is waited for, within limits. */
export async function untilIndexed(store: StoreRegion, clock: () => number): Promise<void> {
  const written = storeNumber(store, STORE_WRITTEN_LOW);
  const deadline = clock() + INDEX_WAIT_MS;
  while (storeNumber(store, STORE_INDEXED_LOW) < written && clock() < deadline) {
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
  }
}

export class KeyFinder {
  private readonly folder: string | undefined;
  private readonly clock: () => number;
  private reader: KeyIndexReader | undefined;
  private openedAt = 0;

  /** `folder`: where the log reader keeps the index; undefined if the broker keeps no data. */
  constructor(folder: string | undefined, clock: () => number) {
    this.folder = folder;
    this.clock = clock;
  }

  /** The index, good for the next call of find(). Rejects with `not-durable`. */
  async open(): Promise<Pick<KeyIndexReader, 'find'>> {
    if (this.folder === undefined) throw new RingmqError('not-durable');
    const { KeyIndexReader } = await import('./key-index.ts');
    if (this.reader && this.clock() - this.openedAt < RENEW_MS) return this.reader;
    this.close();
    this.openedAt = this.clock();
    this.reader = new KeyIndexReader(this.folder);
    return this.reader;
  }

  close(): void {
    this.reader?.close();
    this.reader = undefined;
  }
}
