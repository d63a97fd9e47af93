// Producers of a connection: only those that are concerned are looked at.
import { expect, test } from 'vitest';
import { HostedProducers } from '../../../src/client/hosted-producers.ts';
import type { HostedProducer } from '../../../src/client/producer.ts';

function producer(onRoom: () => void): HostedProducer {
  const nothing = (): void => {};
  const closing = { close: async () => {}, abort: nothing, updateRoute: nothing };
  return { topic: 't', idle: true, flushNow: nothing, housekeep: nothing, onRoom, ...closing };
}

test('room comes to those that found none, once, and again to those that still find none', () => {
  const producers = new HostedProducers();
  const heard: string[] = [];
  const once = producer(() => heard.push('once'));
  const twice: HostedProducer = producer(() => {
    heard.push('twice');
    if (heard.length < 3) producers.stalled(twice);
  });
  const never = producer(() => heard.push('never'));
  for (const one of [once, twice, never]) producers.add(one);
  producers.stalled(once);
  producers.stalled(twice);
  producers.stalled(twice);
  producers.room();
  expect(heard).toEqual(['once', 'twice']);
  producers.room();
  producers.room();
  expect(heard).toEqual(['once', 'twice', 'twice']);
});

test('a producer that has left hears nothing more', () => {
  const producers = new HostedProducers();
  const heard: string[] = [];
  const gone = producer(() => heard.push('gone'));
  producers.add(gone);
  producers.stalled(gone);
  producers.remove(gone);
  producers.room();
  expect(heard).toEqual([]);
  expect(producers.size).toBe(0);
});
