// Features of simple consumers, delays, transactions and traces, in every client: see tools.mjs.

export const LEASES_AND_LATER = {
  async 'a simple consumer receives, acknowledges, refuses and prolongs; leases expire'(bus, t) {
    const topic = t.name('jobs');
    const group = t.name('workers');
    await bus.createTopic(topic, { partitions: 1 });
    await bus.setGroup(group, { retryDelaysMs: [20], attemptsMax: 5 });
    await bus.producer(topic).sendBatch(['a', 'b', 'c', 'd']);
    const consumer = bus.simpleConsumer(topic, { group, from: 'earliest', invisibleMs: 60_000 });
    const [a, b, c, d] = await consumer.receive({ max: 4 });
    t.equal(t.texts([a, b, c, d]), ['a', 'b', 'c', 'd'], 'received');
    await Promise.all([consumer.ack(c), consumer.ack(a)]);
    await consumer.nack(b);
    const [failed] = await consumer.receive({ max: 1 });
    t.equal([failed.text(), failed.attempts], ['b', 2], 'refused, it comes again');
    await consumer.ack(failed);
    await consumer.changeInvisible(d, 0);
    const [given] = await consumer.receive({ max: 1, invisibleMs: 50 });
    t.equal([given.text(), given.attempts], ['d', 2], 'given back, it comes again');
    const [expired] = await consumer.receive({ max: 1 });
    t.equal([expired.text(), expired.attempts], ['d', 3], 'its lease ran out');
    await t.refused('stale-lease', /ran out|somebody else/, () => consumer.ack(given));
    await consumer.changeInvisible(expired, 120_000);
    await consumer.ack(expired);
    t.equal(await t.lag(bus, group), 0, 'all are acknowledged');
    t.equal(await consumer.receive({ waitMs: 0 }), [], 'nothing is left');
    await consumer.close();
  },

  async 'messages are delayed and recalled'(bus, t) {
    const topic = t.name('delays');
    await bus.createTopic(topic, { partitions: 1 });
    const { heard } = await t.listen(bus, topic);
    const began = Date.now();
    const [one, two, past] = await Promise.all([
      bus.schedule(topic, 'in time', { key: 'k', tag: 't', priority: 3, delayMs: 250 }),
      bus.schedule(topic, 'never', { deliverAt: began + 600 }),
      bus.schedule(topic, 'at once', { deliverAt: began - 1_000 }),
    ]);
    await bus.recall(two.handle);
    await t.until(() => heard.length === 2, 'both come');
    t.equal(Date.now() - began >= 250, true, 'not before its time');
    t.equal(t.texts(heard), ['at once', 'in time']);
    t.equal([heard[1].key, heard[1].tag, heard[1].priority], ['k', 't', 3], 'as it was sent');
    for (const { handle } of [one, two, past]) {
      await t.refused('too-late', /delivered or recalled/, () => bus.recall(handle));
    }
    await t.sleep(Math.max(0, began + 700 - Date.now()));
    t.equal(heard.length, 2, 'what was recalled does not come');
  },

  async 'transactions commit, roll back, and are asked about'(bus, t) {
    const topic = t.name('transactions');
    await bus.createTopic(topic, { partitions: 1 });
    const { heard } = await t.listen(bus, topic);
    const asked = [];
    const producer = bus.transactionalProducer(topic, {
      group: t.name('shop'),
      check: (message) => {
        asked.push(message.text());
        return message.text() === 'open' ? 'commit' : 'rollback';
      },
    });
    t.equal(await producer.send('work', () => 7), 7, 'what the work returned');
    const thrown = producer.send('failed', () => {
      throw new Error('no money');
    });
    t.equal(await t.refusal(() => thrown), 'undefined: no money');
    const decided = await producer.begin('decided', { key: 'k' });
    t.equal((await decided.commit({ receipt: true })).offset, 1, 'where it stands');
    await decided.commit();
    await t.refused('transaction-ended', /the other way/, () => decided.rollback());
    const dropped = await producer.begin('dropped');
    await dropped.rollback();
    await producer.begin('open');
    await producer.begin('left');
    await t.until(() => heard.length === 3 && asked.includes('left'), 'the broker has asked', 30_000);
    t.equal(t.texts(heard), ['work', 'decided', 'open']);
    t.equal([...new Set(asked)].sort(), ['left', 'open'], 'asked about');
    await producer.close();
  },

  async 'a trace tells the way of a message'(_, t) {
    const bus = await t.open({ trace: { sample: 1 } });
    const topic = t.name('traced');
    const group = t.name('tracing');
    await bus.createTopic(topic, { partitions: 1 });
    await bus.setGroup(group, { retryDelaysMs: [20], attemptsMax: 5 });
    const consumer = bus.consumer(topic, {
      group,
      from: 'earliest',
      commitMs: 20,
      member: 'm',
      onMessage: (message) => {
        if (message.attempts === 1) throw new Error('once');
      },
      onError: () => {},
    });
    await consumer.ready();
    const { id } = await bus.producer(topic).send('x', { key: 'k' });
    const steps = [];
    await t.listen(bus, 'RMQ_SYS_TRACE_TOPIC', {
      onMessage: (message) => {
        const record = JSON.parse(message.text());
        for (const one of Array.isArray(record) ? record : [record]) if (one.messageId === id) steps.push(one);
      },
    });
    await t.until(() => steps.some((one) => one.step === 'acknowledged'), 'the last step is told');
    t.equal(steps.map((one) => one.step).sort(), ['acknowledged', 'delivered', 'delivered', 'failed', 'stored']);
    await consumer.close();
  },
};
