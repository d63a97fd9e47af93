// The key index of the broker, opened when the first key is looked for: lmdb is loaded only then.
import { RingmqError } from '../base/codes.ts';
import type { KeyFinder } from './queries.ts';

/** `folder`: where the log reader keeps the index; undefined if the broker keeps no data. */
export async function openKeys(folder: string | undefined): Promise<KeyFinder> {
  if (folder === undefined) throw new RingmqError('not-durable');
  const { KeyIndexReader } = await import('../state/key-index.ts');
  return new KeyIndexReader(folder);
}
