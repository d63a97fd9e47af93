// Members of a group that take whole batches.
import { describe, expect, test } from 'vitest';
import { acknowledged, FakeGroup } from '../../support/fake-group.ts';

describe('members with onBatch', () => {
  test('a batch that begins with what is acknowledged shows only the rest of it', async () => {
    const group = new FakeGroup();
    group.send('t', 0, 'a', 'b', 'c', 'd', 'e', 'f');
    group.at('t/0');
    // The end of the first batch, and the beginning of the second.
    group.progress.get('t/0')?.add(3, 5);
    group.assign('m', 't/0');
    const texts: string[] = [];
    const consumer = group.consumer('t', {
      onBatch: (batch) => {
        while (batch.next()) texts.push(batch.text());
      },
    });
    await acknowledged(group, 't/0', 6);
    expect(texts).toEqual(['a', 'b', 'c', 'f']);
    await consumer.close();
  });

  test('a batch comes once, also if its handler moves another queue', async () => {
    const group = new FakeGroup();
    group.assign('m', 't/0', 't/1');
    const texts: string[] = [];
    const sought: Promise<void>[] = [];
    const consumer = group.consumer('t', {
      onBatch: (batch) => {
        if (batch.partition === 1 && sought.length === 0) sought.push(consumer.seek(0, 0));
        while (batch.next()) texts.push(batch.text());
      },
    });
    await consumer.ready();
    group.send('t', 1, 'a', 'b', 'c');
    await acknowledged(group, 't/1', 3);
    await Promise.all(sought);
    group.send('t', 1, 'd');
    await acknowledged(group, 't/1', 4);
    expect(texts).toEqual(['a', 'b', 'c', 'd']);
    await consumer.close();
  });
});
