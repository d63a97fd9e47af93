import { afterEach, expect, test } from 'vitest';
import { BinaryClient, KINDS, start, stopAll, until } from './harness.ts';

afterEach(stopAll);

for (const transport of KINDS) {
  test(`a published batch is acknowledged and delivered (${transport})`, async () => {
    const broker = await start({ transport });
    const url = broker.url as string;
    const a = await BinaryClient.connect(url);
    const b = await BinaryClient.connect(url);
    const route = await a.createTopic('t');
    const subscribed = await b.subscribe('t');
    expect(subscribed.starts[0].offset).toBe(0);
    const request = a.publish(route.partitions[0], ['one', 'two']);
    const ack = await a.ack(request);
    expect(ack).toMatchObject({ status: 0, baseOffset: 0, count: 2, partition: route.partitions[0].id });
    await until(() => b.delivered.length === 2, 'both arrive');
    expect(b.delivered.map((one) => one.text)).toEqual(['one', 'two']);
    await broker.stop();
    expect((await a.ended()).code).toBe(4000);
  });
}
