// A broker without data: nothing of the store is there. A file, and so a process, of its own: it looks at what is
// loaded.
import { expect, test } from 'vitest';
import { errorOf, startConnected, supervisorOf } from '../../support/engine.ts';

test('a broker without data touches no disk and loads neither lmdb nor piscina', async () => {
  const { broker, connection } = await startConnected();
  await connection.createTopic('light');
  expect((await connection.route('light')).durable).toBe(false);
  expect((await errorOf(connection.createTopic('heavy', { durable: true }))).code).toBe('not-durable');
  expect(broker.attachment.store).toBeUndefined();
  expect(supervisorOf(broker).threadsOf('store')).toEqual([]);
  expect(supervisorOf(broker).threadsOf('log-reader')).toEqual([]);
  const loaded = (process.report.getReport() as unknown as { sharedObjects: string[] }).sharedObjects;
  expect(loaded.filter((file) => file.includes('lmdb'))).toEqual([]);
});
