// Features of plain messages, in every client: see tools.mjs.

export const SENDING_AND_READING = {
  async 'receipts name partition, offset and id, by every acknowledgement'(bus, t) {
    const topic = t.name('acks');
    await bus.createTopic(topic, { partitions: 1 });
    const { heard } = await t.listen(bus, topic);
    const offsets = [];
    for (const ack of ['accepted', 'written', 'durable']) {
      const receipt = await bus.producer(topic, { ack }).send(ack, { key: 'k', tag: 't', properties: { a: 'b' } });
      t.equal([receipt.topic, receipt.partition], [topic, 0], ack);
      t.equal((await bus.message(receipt.id)).text(), ack, 'the message of the id');
      offsets.push(receipt.offset);
    }
    t.equal(offsets, [0, 1, 2], 'offsets');
    t.equal((await bus.producer(topic, { ack: 'none' }).send('none')).offset, -1, 'ack none');
    await t.until(() => heard.length === 4, 'all four come');
    const { key, tag, properties } = heard[0];
    t.equal([key, tag, { ...properties }], ['k', 't', { a: 'b' }], 'what was sent beside the body');
  },

  async 'batches go and come whole, with a receipt for each message'(bus, t) {
    const topic = t.name('batches');
    await bus.createTopic(topic, { partitions: 1 });
    const sizes = [];
    const consumer = bus.consumer(topic, {
      from: 'earliest',
      onBatch: (batch) => {
        let size = 0;
        while (batch.next()) size++;
        sizes.push(size);
      },
    });
    await consumer.ready();
    const receipts = await bus.producer(topic).sendBatch(t.numbers(50));
    t.equal(
      receipts.map((one) => one.offset),
      t.numbers(50).map(Number),
      'offsets',
    );
    await t.until(() => sizes.reduce((sum, one) => sum + one, 0) === 50, 'all come');
    t.equal(sizes.length < 50, true, 'in fewer batches than messages');
  },

  async 'messages with one key keep their order'(bus, t) {
    const topic = t.name('keys');
    await bus.createTopic(topic, { partitions: 4 });
    const { heard } = await t.listen(bus, topic);
    const producer = bus.producer(topic);
    await Promise.all(t.numbers(200).map((one) => producer.send(one, { key: `k${one % 7}` })));
    await t.until(() => heard.length === 200, 'all come');
    for (let key = 0; key < 7; key++) {
      const own = heard.filter((one) => one.key === `k${key}`);
      t.equal(new Set(own.map((one) => one.partition)).size, 1, 'one key, one partition');
      t.equal(
        t.texts(own),
        t.numbers(200).filter((one) => one % 7 === key),
        'in order',
      );
    }
  },

  async 'a consumer starts where it is told'(bus, t) {
    const topic = t.name('starts');
    await bus.createTopic(topic, { partitions: 1 });
    const producer = bus.producer(topic);
    await producer.sendBatch(['a', 'b']);
    await t.sleep(20);
    const time = Date.now();
    await t.sleep(20);
    await producer.sendBatch(['c', 'd']);
    const [{ epoch }] = (await bus.route(topic)).partitions;
    const starts = [
      ['earliest', 'abcde'],
      [{ offset: 1 }, 'bcde'],
      [{ last: 1 }, 'de'],
      [{ time }, 'cde'],
      [{ positions: [{ partition: 0, epoch, offset: 3 }] }, 'de'],
      ['latest', 'e'],
    ];
    const all = [];
    for (const [from] of starts) all.push(await t.listen(bus, topic, { from }));
    await producer.send('e');
    for (const [i, [from, expected]] of starts.entries()) {
      const { heard, consumer } = all[i];
      await t.until(() => heard.length >= expected.length, `from ${JSON.stringify(from)}`);
      t.equal(t.texts(heard).join(''), expected, JSON.stringify(from));
      t.equal(consumer.positions()[0].offset, 5, 'where it is');
    }
  },

  async 'a consumer pauses and resumes'(bus, t) {
    const topic = t.name('pauses');
    await bus.createTopic(topic, { partitions: 1 });
    const { consumer, heard } = await t.listen(bus, topic);
    const producer = bus.producer(topic);
    await producer.send('a');
    await t.until(() => heard.length === 1, 'the first');
    consumer.pause();
    await producer.sendBatch(['b', 'c']);
    await t.sleep(60);
    t.equal(heard.length, 1, 'while it is paused');
    consumer.resume();
    await t.until(() => heard.length === 3, 'the others');
    t.equal(t.texts(heard), ['a', 'b', 'c']);
  },

  async 'what a full ring has dropped is told as a gap'(bus, t) {
    const topic = t.name('gaps');
    await bus.createTopic(topic, { partitions: 1, durable: false, overflow: 'drop-oldest', ringBytes: 65_536 });
    const gaps = [];
    const { consumer, heard } = await t.listen(bus, topic, { onGap: (gap) => gaps.push(gap) });
    const producer = bus.producer(topic);
    consumer.pause();
    const filler = '.'.repeat(4_000);
    // A remote client has a window of 4 MiB: what is in it when it pauses is its own.
    for (let i = 0; i < 2_000; i += 10) await producer.sendBatch(t.numbers(10, i).map((one) => `${one} ${filler}`));
    consumer.resume();
    await t.until(() => heard.at(-1)?.offset === 1_999, 'the last one comes');
    t.equal(gaps.length > 0, true, 'it is told');
    const missing = gaps.reduce((sum, { from, to }) => sum + to - from, 0);
    t.equal(heard.length + missing, 2_000, 'what came and what was told');
    t.equal([...new Set(gaps.map((one) => one.reason))], ['evicted']);
  },

  async 'history is read from the log, and joins the live stream'(bus, t) {
    const topic = t.name('history');
    await bus.createTopic(topic, { partitions: 1, ringBytes: 65_536 });
    const producer = bus.producer(topic);
    const filler = '.'.repeat(1_000);
    await producer.sendBatch(t.numbers(400).map((one) => `${one} ${filler}`));
    const { heard } = await t.listen(bus, topic, { onGap: (gap) => heard.push({ offset: gap }) });
    await producer.sendBatch(t.numbers(100, 400));
    await t.until(() => heard.length >= 500, 'all come');
    t.equal(
      heard.map((one) => one.offset),
      t.numbers(500).map(Number),
      'each once, in order',
    );
  },

  async 'a pull waits, filters, and says where to go on'(bus, t) {
    const topic = t.name('pulls');
    await bus.createTopic(topic, { partitions: 1 });
    const waits = bus.pull({ topic, from: { offset: 0 }, waitMs: 10_000 });
    const producer = bus.producer(topic);
    await producer.send('a', { tag: 'x' });
    t.equal(t.texts((await waits).messages), ['a'], 'the first one');
    await producer.send('b', { tag: 'y' });
    await producer.send('c', { tag: 'x', properties: { price: '12' } });
    const found = await bus.pull({ topic, from: { offset: 0 }, filter: 'y' });
    t.equal(t.texts(found.messages), ['b'], 'by tag');
    const dear = await bus.pull({ topic, from: 'earliest', filter: { sql: 'price > 10' } });
    t.equal([t.texts(dear.messages), dear.nextOffset], [['c'], 3], 'by SQL');
    t.equal((await bus.pull({ topic, from: { offset: 3 }, waitMs: 0 })).messages.length, 0, 'at the end');
  },

  async 'filters leave out by tag and by SQL'(bus, t) {
    const topic = t.name('filters');
    await bus.createTopic(topic, { partitions: 1 });
    const tags = await t.listen(bus, topic, { filter: 'a || c' });
    const sql = await t.listen(bus, topic, { filter: { sql: "n BETWEEN 1 AND 2 AND TAGS <> 'c'" } });
    const group = await t.listen(bus, topic, { filter: 'b', group: t.name('filtering'), commitMs: 20 });
    const producer = bus.producer(topic);
    for (const [i, tag] of ['a', 'b', 'c', 'a'].entries())
      await producer.send(`${i}`, { tag, properties: { n: `${i}` } });
    await t.until(() => tags.heard.length + sql.heard.length + group.heard.length >= 5, 'what is wanted');
    t.equal([t.texts(tags.heard), t.texts(sql.heard), t.texts(group.heard)], [['0', '2', '3'], ['1'], ['1']]);
    await t.until(
      async () => (await t.lag(bus, group.consumer.options.group)) === 0,
      'what is left out counts as done',
    );
  },

  async 'messages are found by key, by time and by id'(bus, t) {
    const topic = t.name('queries');
    await bus.createTopic(topic, { partitions: 2 });
    const producer = bus.producer(topic);
    await producer.send('a', { key: 'k' });
    await t.sleep(20);
    const fromTime = Date.now();
    await t.sleep(20);
    const { id } = await producer.send('b', { key: 'k' });
    await producer.send('c', { key: 'l' });
    const found = await t.until(async () => {
      const matches = await bus.query({ topic, key: 'k' });
      return matches.length === 2 ? matches : undefined;
    }, 'both of the key are in the index');
    t.equal(found[0].storedAt < fromTime, true, 'oldest first');
    t.equal((await bus.query({ topic, key: 'k', fromTime })).length, 1, 'by key and time');
    t.equal((await bus.query({ topic, fromTime })).length, 2, 'by time');
    t.equal((await bus.message(id)).text(), 'b', 'by id');
  },

  async 'topics have a retention, permissions and routes that are heard of'(bus, t) {
    const topic = t.name('routes');
    await bus.createTopic(topic, { partitions: 1, retentionMs: 3_600_000 });
    const changes = [];
    bus.onRoute((name, _, deleted) => name === topic && changes.push(deleted));
    t.equal((await bus.route(topic)).retentionMs, 3_600_000, 'its retention');
    await bus.setRetention(topic, { retentionBytes: 1_000_000 });
    const { retentionMs, retentionBytes } = await bus.route(topic);
    t.equal([retentionMs, retentionBytes], [0, 1_000_000], 'another one');
    const producer = bus.producer(topic, { timeoutMs: 2_000 });
    await producer.send('a');
    await bus.setPermission(topic, 'r');
    await t.refused('no-write-permission', /takes no messages/, () => producer.send('b'));
    await bus.setPermission(topic, 'rw');
    await t.until(async () => (await t.refusal(() => producer.send('c'))) === '', 'it takes messages again');
    await bus.deleteTopic(topic);
    await t.until(() => changes.includes(true), 'its end is heard of');
    t.equal(changes.includes(false), true, 'changes were heard of');
    t.equal(
      (await bus.topics()).some((one) => one.topic === topic),
      false,
      'it is gone',
    );
  },

  async 'requests are answered, or time out'(bus, t) {
    const topic = t.name('requests');
    await bus.createTopic(topic, { partitions: 1 });
    const answering = await t.open({});
    const consumer = answering.consumer(topic, {
      onMessage: (message) => (message.text() === 'silence' ? undefined : message.reply(`${message.text()}!`)),
    });
    await consumer.ready();
    const replies = await Promise.all(t.numbers(20).map((one) => bus.request(topic, one)));
    t.equal(
      t.texts(replies),
      t.numbers(20).map((one) => `${one}!`),
      'each its own',
    );
    await t.refused('timeout', /reply|answer/, () => bus.request(topic, 'silence', { timeoutMs: 100 }));
  },
};
