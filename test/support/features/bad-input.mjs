// What is refused, by code and with a text that says what to do, in every client: see tools.mjs.

export const BAD_INPUT = {
  async 'unknown groups and topics, and names that are none'(bus, t) {
    const topic = t.name('known');
    await bus.createTopic(topic, { partitions: 1 });
    const nobody = t.name('nobody');
    await t.refused('unknown-group', /no such group|nobody/, () => bus.describeGroup(nobody));
    await t.refused('unknown-group', /no such group|nobody/, () => bus.resetGroup(nobody, topic, 'latest'));
    await t.refused('unknown-group', /no such group|nobody/, () => bus.deleteGroup(nobody));
    await t.refused('illegal-group', /A-Z a-z 0-9/, () => bus.describeGroup('a|b'));
    await t.refused('illegal-group', /A-Z a-z 0-9/, async () => bus.consumer(topic, { group: 'a b', onMessage() {} }));
    await t.refused('unknown-topic', /no topic/, () => bus.route(t.name('nowhere')));
    await t.refused('unknown-topic', /no topic/, () => bus.deleteTopic(t.name('nowhere')));
    await t.refused('unknown-topic', /no topic/, () => bus.query({ topic: t.name('nowhere'), key: 'k' }));
    await t.refused('illegal-topic', /A-Z a-z 0-9/, () => bus.createTopic('a topic'));
    await t.refused('topic-exists', /exists already/, () => bus.createTopic(topic));
  },

  async 'illegal filters, with position and reason'(bus, t) {
    const topic = t.name('filtered');
    await bus.createTopic(topic, { partitions: 1 });
    const filters = [
      [{ sql: 'price >' }, /column 8/],
      [{ sql: "a = 'x" }, /column 5/],
      [{ sql: '(a = 1' }, /column \d+/],
      ['a || || b', /\d/],
    ];
    for (const [filter, position] of filters) {
      const ways = [
        async () => bus.consumer(topic, { filter, onMessage() {} }),
        async () => bus.consumer(topic, { filter, group: t.name('g'), onMessage() {} }),
        async () => bus.simpleConsumer(topic, { filter, group: t.name('g') }),
        () => bus.pull({ topic, filter, waitMs: 0 }),
      ];
      for (const way of ways) await t.refused('illegal-filter', position, way);
    }
  },

  async 'offsets out of range, delays beyond the limit, handles and ids that never were'(bus, t) {
    const topic = t.name('ranges');
    const group = t.name('ranging');
    await bus.createTopic(topic, { partitions: 1 });
    await bus.producer(topic).send('a');
    const consumer = bus.consumer(topic, { group, from: 'earliest', onMessage() {} });
    await consumer.ready();
    await t.refused('offset-out-of-range', /99/, () => consumer.seek(0, 99));
    await consumer.close();
    await t.refused('offset-out-of-range', /99|no such offset/, () => bus.resetGroup(group, topic, { offset: 99 }, 0));
    const yearMs = 366 * 86_400_000;
    await t.refused('delay-out-of-range', /366 days/, () => bus.schedule(topic, 'x', { delayMs: yearMs + 60_000 }));
    await t.refused('illegal-argument', /delayMs/, () => bus.schedule(topic, 'x', { delayMs: -1 }));
    await t.refused('illegal-priority', /0 to 9/, () => bus.producer(topic).send('x', { priority: 10 }));
    await t.refused('illegal-argument', /handle/, () => bus.recall('nonsense'));
    await t.refused('illegal-argument', /id/, () => bus.message('nonsense'));
    await t.refused('not-found', /./, () => bus.message('0'.repeat(24)));
    const gaps = [];
    await t.listen(bus, topic, { from: { offset: 99 }, onGap: (gap) => gaps.push(gap.reason) });
    await t.until(() => gaps.length === 1, 'an offset that was never written is a gap');
    t.equal(gaps, ['ahead']);
  },

  async 'two members with one id: the second is refused, and the first goes on'(bus, t) {
    const topic = t.name('twice');
    const group = t.name('twins');
    await bus.createTopic(topic, { partitions: 1 });
    const { heard, consumer } = await t.listen(bus, topic, { group, member: 'm' });
    const second = (await t.open({})).consumer(topic, { group, member: 'm', onMessage() {}, onError() {} });
    await t.refused('member-exists', /choose another id/, () => second.ready());
    const other = bus.consumer(topic, { group, member: 'n', order: 'none', onMessage() {}, onError() {} });
    await t.refused('group-mismatch', /agree/, () => other.ready());
    await bus.producer(topic).send('a');
    await t.until(() => heard.length === 1, 'the first one goes on');
    await consumer.close();
  },

  async 'handlers that throw or reject, also with nothing: onError hears of it, the message comes again'(bus, t) {
    const topic = t.name('throws');
    const group = t.name('throwing');
    await bus.createTopic(topic, { partitions: 1 });
    await bus.setGroup(group, { retryDelaysMs: [10], attemptsMax: 5 });
    const errors = [];
    const done = [];
    const consumer = bus.consumer(topic, {
      group,
      from: 'earliest',
      onMessage: (message) => {
        if (message.attempts === 1) throw new TypeError('thrown');
        if (message.attempts === 2) return Promise.reject(new Error('rejected'));
        if (message.attempts === 3) return Promise.reject();
        done.push(message.attempts);
      },
      onError: (error) => errors.push(error.message),
    });
    await bus.producer(topic).send('a');
    await t.until(() => done.length === 1, 'it is done in the end');
    t.equal([errors, done], [['thrown', 'rejected', 'undefined'], [4]]);
    await consumer.close();
  },
};
