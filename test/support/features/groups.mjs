// Features of groups, in every client: see tools.mjs.

/** A topic of some partitions and a group; `join` makes a member, which notes what it handles in `seen`. */
async function grouped(bus, t, partitions = 1) {
  const topic = t.name('shared');
  const group = t.name('group');
  await bus.createTopic(topic, { partitions });
  const seen = [];
  const join = async (options = {}, by = bus) => {
    const consumer = by.consumer(topic, {
      group,
      from: 'earliest',
      commitMs: 20,
      onMessage: (message) => void seen.push(message.text()),
      onError: () => {},
      ...options,
    });
    await consumer.ready();
    return consumer;
  };
  const send = (bodies, extras) => bus.producer(topic).sendBatch(bodies, extras);
  const owners = async () => (await bus.describeGroup(group)).queues.map((one) => one.owner);
  return { topic, group, seen, join, send, owners };
}

export const GROUPS = {
  async 'members share a topic evenly, keep what they have, and nothing comes twice'(bus, t) {
    const { group, seen, join, send, owners } = await grouped(bus, t, 4);
    const first = await join({ member: 'a' });
    t.equal(await owners(), ['a', 'a', 'a', 'a'], 'one has all');
    const second = await join({ member: 'b' }, await t.open({}));
    const both = await t.until(async () => {
      const now = await owners();
      return now.filter((one) => one === 'b').length === 2 && !now.includes('') ? now : undefined;
    }, 'each has half');
    const { subscriptions, members } = await bus.describeGroup(group);
    t.equal(subscriptions[0].generation > 1, true, 'a new generation');
    t.equal(members.map((one) => one.member).sort(), ['a', 'b'], 'members');
    await send(t.numbers(200));
    await t.until(() => seen.length === 200, 'all are handled');
    const third = await join({ member: 'c' });
    await t.until(async () => (await owners()).includes('c'), 'the third has a share');
    const three = await owners();
    t.equal(three.filter((one, i) => one !== both[i]).length, 1, 'one partition has moved, the others stayed');
    await second.close();
    await t.until(async () => !(await owners()).some((one) => one === 'b' || one === ''), 'its share is taken over');
    await send(t.numbers(200, 200));
    await t.until(() => seen.length >= 400, 'all are handled');
    await t.until(async () => (await t.lag(bus, group)) === 0, 'all are acknowledged');
    t.equal(new Set(seen).size, seen.length, 'nothing twice');
    await first.close();
    await third.close();
  },

  async 'a group goes on where it was, and says how far that is'(bus, t) {
    const { topic, group, seen, join, send } = await grouped(bus, t);
    await send(['a', 'b']);
    const first = await join({ commitMs: Number.POSITIVE_INFINITY });
    await t.until(() => seen.length === 2, 'the first two');
    t.equal(await t.lag(bus, group), 2, 'not committed');
    await first.commit();
    t.equal(await t.lag(bus, group), 0, 'committed');
    await first.close();
    await send(['c']);
    t.equal(
      (await bus.groups()).find((one) => one.group === group),
      { group, topics: [topic], members: 0, lag: 1 },
    );
    const second = await join();
    await t.until(() => seen.length >= 3, 'the third');
    t.equal(seen, ['a', 'b', 'c']);
    await second.close();
    await bus.deleteGroup(group);
    t.equal(
      (await bus.groups()).some((one) => one.group === group),
      false,
      'deleted',
    );
  },

  async 'a member pauses and resumes'(bus, t) {
    const { group, seen, join, send } = await grouped(bus, t);
    const consumer = await join();
    await send(['a']);
    await t.until(() => seen.length === 1, 'the first');
    consumer.pause();
    await send(['b', 'c']);
    await t.sleep(60);
    t.equal(seen, ['a'], 'while it is paused');
    t.equal(await t.lag(bus, group), 2, 'they wait in the topic');
    consumer.resume();
    await t.until(() => seen.length === 3, 'the others');
    await consumer.close();
  },

  async 'a member seeks back and forth'(bus, t) {
    const { seen, join, send } = await grouped(bus, t);
    await send(['a', 'b', 'c', 'd']);
    const consumer = await join();
    await t.until(() => seen.length === 4, 'all');
    await consumer.seek(0, 2);
    await t.until(() => seen.length === 6, 'the last two again');
    await t.refused('offset-out-of-range', /99/, () => consumer.seek(0, 99));
    await t.refused('unknown-partition', /does not hold partition 7/, () => consumer.seek(7, 0));
    await consumer.close();
    t.equal(seen.join(''), 'abcdcd');
  },

  async 'a group is reset to an offset, a time, the earliest and the latest'(bus, t) {
    const { topic, group, seen, join, send } = await grouped(bus, t);
    await send(['a', 'b']);
    await t.sleep(20);
    const time = Date.now();
    await t.sleep(20);
    await send(['c', 'd']);
    const consumer = await join();
    await t.until(() => seen.length === 4, 'all');
    await t.refused('group-in-use', /stop its consumers|live members/, () => bus.resetGroup(group, topic, 'latest'));
    await consumer.close();
    const resets = [
      ['earliest', 4],
      [{ offset: 1 }, 3],
      [{ time }, 2],
      ['latest', 0],
    ];
    for (const [to, lag] of resets) {
      await (typeof to === 'object' && 'offset' in to
        ? bus.resetGroup(group, topic, to, 0)
        : bus.resetGroup(group, topic, to));
      t.equal(await t.lag(bus, group), lag, JSON.stringify(to));
    }
    await bus.resetGroup(group, topic, { time });
    const again = await join();
    await t.until(() => seen.length >= 6, 'what followed');
    t.equal(seen.join(''), 'abcdcd');
    await again.close();
  },

  async 'in a broadcasting group every member gets everything'(bus, t) {
    const { topic, group, seen, join, send } = await grouped(bus, t, 2);
    const other = [];
    const first = await join({ mode: 'broadcasting' });
    const options = { mode: 'broadcasting', onMessage: (message) => void other.push(message.text()) };
    const second = await join(options, await t.open({}));
    await send(t.numbers(20));
    await t.until(() => seen.length === 20 && other.length === 20, 'both have all');
    await first.commit();
    t.equal(
      (await bus.committed(group, topic)).reduce((sum, one) => sum + one.offset, 0),
      20,
      'positions that the broker keeps',
    );
    await first.close();
    await second.close();
  },

  async 'order: a failure holds up its key, its partition, or nothing'(bus, t) {
    const expected = { key: 'a1 b1 a1 a2 a3', partition: 'a1 a1 a2 b1 a3', none: 'a1 a2 b1 a3 a1' };
    for (const [order, text] of Object.entries(expected)) {
      const { group, topic, join } = await grouped(bus, t);
      await bus.setGroup(group, { retryDelaysMs: [150], attemptsMax: 3 });
      const producer = bus.producer(topic);
      for (const one of ['a1', 'a2', 'b1', 'a3']) await producer.send(one, { key: one[0] });
      const came = [];
      const onMessage = (message) => {
        came.push(message.text());
        if (message.text() === 'a1' && message.attempts === 1) throw new Error('no');
      };
      const consumer = await join({ order, onMessage });
      await t.until(() => came.length >= 5, `all with order ${order}`);
      t.equal(came.join(' '), text, order);
      await consumer.close();
    }
  },

  async 'handlers work side by side, and one that hangs has failed'(bus, t) {
    const { group, join, send } = await grouped(bus, t);
    await bus.setGroup(group, { retryDelaysMs: [20], attemptsMax: 3 });
    let atWork = 0;
    let most = 0;
    const done = [];
    const errors = [];
    const onMessage = async (message) => {
      if (message.text() === 'hang' && message.attempts === 1) return new Promise(() => {});
      most = Math.max(most, ++atWork);
      await t.sleep(30);
      atWork--;
      done.push(message.text());
    };
    const onError = (error) => errors.push(`${error.code}: ${error.message}`);
    const consumer = await join({ concurrency: 3, handlerTimeoutMs: 300, order: 'key', onMessage, onError });
    await send([...t.numbers(9), 'hang']);
    await t.until(() => done.length === 10, 'all are handled');
    t.equal([most, done.at(-1)], [3, 'hang'], 'at work at once, and who came last');
    t.equal(errors.length, 1, 'one failure');
    t.equal(/^handler-failed: .*took longer than 300 ms/.test(errors[0]), true, errors[0]);
    await t.until(async () => (await t.lag(bus, group)) === 0, 'all are acknowledged');
    await consumer.close();
  },

  async 'a group takes batches; what throws comes again one by one'(bus, t) {
    const { group, seen, join, send } = await grouped(bus, t);
    await bus.setGroup(group, { retryDelaysMs: [20], attemptsMax: 3 });
    const onBatch = (batch) => {
      const isFirst = seen.length === 0;
      while (batch.next()) seen.push(batch.text());
      if (isFirst) throw new Error('no');
    };
    await send(['a', 'b', 'c']);
    const consumer = await join({ onMessage: undefined, onBatch });
    await t.until(() => seen.length >= 6, 'all of them again');
    t.equal(
      [seen.slice(0, 3), seen.slice(3).sort()],
      [
        ['a', 'b', 'c'],
        ['a', 'b', 'c'],
      ],
    );
    await t.until(async () => (await t.lag(bus, group)) === 0, 'all are acknowledged');
    await consumer.close();
  },

  async 'failures climb the ladder, exponential too, become dead letters with a reason, and are replayed'(bus, t) {
    const { topic, group, join } = await grouped(bus, t);
    const retryDelaysMs = t.ringmq.exponentialDelays({ firstMs: 40, factor: 2 });
    const settings = await bus.setGroup(group, { retryDelaysMs, attemptsMax: 3 });
    t.equal(settings.retryDelaysMs.slice(0, 3), [40, 80, 160], 'the ladder');
    const producer = bus.producer(topic);
    await producer.send('poison', { key: 'k' });
    await producer.send('later', { key: 'l' });
    await producer.send('dead', { key: 'm' });
    const at = { poison: [], later: [], dead: [] };
    let isCured = false;
    const onMessage = (message) => {
      at[message.text()].push(performance.now());
      if (isCured) return;
      if (message.text() === 'poison') throw new Error('it is broken');
      if (message.text() === 'dead') throw new t.ringmq.DeadLetter('beyond repair');
      if (message.attempts === 1) throw new t.ringmq.RetryLater(5, 'a moment');
    };
    const consumer = await join({ onMessage });
    await t.until(async () => (await bus.describeGroup(group)).deadLetters === 2, 'two are dead letters');
    t.equal([at.poison.length, at.later.length, at.dead.length], [3, 2, 1], 'attempts');
    t.equal(at.poison[1] - at.poison[0] >= 39 && at.poison[2] - at.poison[1] >= 79, true, `delays ${at.poison}`);
    const { messages } = await bus.pull({ topic: `%DLQ%${group}`, from: 'earliest' });
    const reasons = messages.map((one) => `${one.text()} ${one.properties.DLQ_REASON} ${one.properties.REAL_TOPIC}`);
    t.equal(reasons.sort(), [`dead beyond repair ${topic}`, `poison it is broken ${topic}`], 'why, and from where');
    isCured = true;
    t.equal(await bus.replayDeadLetters(group), { replayed: 2, left: 0 }, 'the replay');
    await t.until(() => at.poison.length === 4 && at.dead.length === 2, 'both come again');
    await consumer.close();
  },

  async 'the highest priority comes first among what waits'(bus, t) {
    const { topic, join } = await grouped(bus, t);
    const producer = bus.producer(topic);
    for (const priority of [0, 9, 5, 9]) await producer.send(`${priority}`, { priority });
    const came = [];
    const consumer = await join({ onMessage: undefined, priority: true, order: 'none', concurrency: 1 });
    await t.until(async () => consumer.waiting === undefined || consumer.waiting === 4, 'all are read');
    for await (const message of consumer) {
      came.push(message.priority);
      if (came.length === 4) break;
    }
    t.equal(came, [9, 9, 5, 0]);
    const simple = bus.simpleConsumer(topic, {
      group: t.name('first'),
      from: 'earliest',
      order: 'none',
      priority: true,
    });
    const [first] = await simple.receive({ max: 1 });
    t.equal(first.priority, 9, 'leased first');
    await simple.close();
  },
};
