// The books of the torture's pool member: what its consumer surely has counted, and no more.
import { BroadcastChannel } from 'node:worker_threads';
import { afterEach, expect, test } from 'vitest';
import { PoolBook } from '../../../torture/pool-book.ts';
import type { Step } from '../../../torture/pool-handler.ts';
import { until } from '../../support/until.ts';

const took: string[] = [];
const book = new PoolBook(({ what, id }) => void took.push(`${id} ${what}`));

afterEach(() => book.close());

test('what a thread ended is known when it is given its next message, of the pool that lives now', async () => {
  const url = book.begin();
  const channel = new BroadcastChannel(url.searchParams.get('channel') ?? '');
  const life = Number(url.searchParams.get('life'));
  let told = 0;
  const tell = async (of: number, thread: number, what: Step['what'], id: string): Promise<void> => {
    channel.postMessage({ what, life: of, thread, id, place: '0@0', attempts: 1 } satisfies Step);
    told++;
    await until(() => took.length === told, 'it has heard');
  };
  await tell(life, 1, 'starts', 'a');
  await tell(life, 2, 'starts', 'b');
  await tell(life, 1, 'ends', 'a');
  expect(book.done()).toEqual([]);
  await tell(life, 2, 'starts', 'c');
  expect(book.done(), 'b failed').toEqual([]);
  await tell(life, 1, 'starts', 'd');
  expect([book.done(), book.done()]).toEqual([['a'], []]);
  await tell(life, 1, 'ends', 'd');
  book.begin();
  await tell(life, 1, 'starts', 'e');
  await tell(life + 1, 3, 'starts', 'f');
  expect(book.done(), 'd was not named by its pool').toEqual([]);
  channel.close();
});
