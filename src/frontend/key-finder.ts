// The key index of the broker as a front end reads it. lmdb is loaded when the first key is looked for.
import { RingmqError } from '../base/codes.ts';
import type { KeyIndexReader } from '../state/key-index.ts';

/** After this time the index is opened again: the log reader may have begun it anew, in other files. */
const RENEW_MS = 5_000;

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
    const { KeyIndexReader } = await import('../state/key-index.ts');
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
