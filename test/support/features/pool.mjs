// What clients of Node have besides: see tools.mjs.

export const POOL = {
  async 'handlers work in the threads of a pool, and what fails there comes again'(bus, t) {
    const topic = t.name('pooled');
    const group = t.name('pooling');
    await bus.createTopic(topic, { partitions: 2 });
    await bus.setGroup(group, { retryDelaysMs: [10], attemptsMax: 5 });
    const errors = [];
    const onError = (error) => errors.push(`${error.name}: ${error.message}`);
    const consumer = bus.consumer(topic, { group, from: 'earliest', commitMs: 20, onError });
    await consumer.pool(new URL('../pool-handler.cjs', import.meta.url), { threads: 2 });
    const producer = bus.producer(topic);
    await producer.sendBatch(t.numbers(20));
    await producer.send('fail', { key: 'k', properties: { why: 'because' } });
    await producer.send('later');
    await t.until(async () => (await t.lag(bus, group)) === 0, 'all are acknowledged');
    t.equal(errors, [
      `TypeError: attempt 1 of k in ${topic}, because, thread true`,
      `TypeError: attempt 2 of k in ${topic}, because, thread true`,
    ]);
    await consumer.close();
  },
};
