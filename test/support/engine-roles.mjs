// What worker threads of the engine's integration tests do. Bodies are two int32: the producer's number and a sequence.
import { parentPort, workerData } from 'node:worker_threads';
import { attach } from '../../dist/src/index.js';

const say = (type, more = {}) => parentPort.postMessage({ type, ...more });
const { role, attachment, topic, producer = 0, count = 0, from = 'earliest' } = workerData;

function body(sequence) {
  return new Uint8Array(Int32Array.of(producer, sequence).buffer);
}

const ROLES = {
  /** Sends `count` messages with receipts from an event loop, awaiting in blocks. */
  async produce() {
    const connection = attach(attachment);
    const sender = connection.producer(topic, { timeoutMs: 30_000, ...workerData.options });
    await sender.ready();
    say('ready');
    const acked = [];
    for (let sequence = 0; sequence < count; ) {
      const sent = [];
      for (; sent.length < 100 && sequence < count; sequence++) sent.push(sender.send(body(sequence)));
      for (const one of sent) acked.push((await one).offset);
      say('progress', { acked: acked.length });
    }
    await connection.close();
    say('done', { acked: acked.length, ascending: acked.every((offset, i) => i === 0 || offset > acked[i - 1]) });
  },

  /** Sends as fast as it can in a loop that owns its thread, until `count` or terminated. */
  async flood() {
    const connection = attach(attachment);
    const sender = connection.producer(topic, { timeoutMs: 30_000, ...workerData.options });
    await sender.ready();
    say('ready');
    for (let sequence = 0; sequence < count; sequence++) {
      while (!sender.trySend(body(sequence))) connection.wait(10);
      if ((sequence & 255) === 255) connection.work();
    }
    await sender.flush();
    await connection.close();
    say('done', { sent: count });
  },

  /** A partition of its own. */
  async direct() {
    const connection = attach(attachment);
    const sender = await connection.directProducer(topic);
    say('ready', { partition: sender.partition });
    for (let sequence = 0; sequence < count; sequence++) {
      while (!sender.trySend(body(sequence))) connection.wait(10);
    }
    await sender.flush();
    say('sent');
    if (workerData.stays) setInterval(() => {}, 1_000);
    else await connection.close();
  },

  /** Joins a group and stays in it: the next sync is held. */
  async member() {
    const connection = attach(attachment);
    const { group, member } = workerData;
    const sync = (generation, owned, waitMs) =>
      connection.call('group-sync', {
        group,
        topic,
        member,
        client: 'a thread',
        generation,
        owned,
        from: 'earliest',
        order: 'key',
        filter: '',
        waitMs,
      });
    const { result } = await sync(0, [], 0);
    say('joined', { queues: result.queues.length });
    const owned = result.queues.map(({ topic, partition }) => ({ topic, partition }));
    await sync(result.generation, owned, 30_000);
  },

  /** Counts in a loop that owns its thread; says `done` at `count`. */
  async count() {
    const connection = attach(attachment);
    let received = 0;
    let wrong = 0;
    const next = new Map();
    const consumer = connection.consumer(topic, {
      from,
      onBatch: (batch) => {
        while (batch.next()) {
          const sender = batch.int32(0);
          const sequence = batch.int32(4);
          const key = `${sender}/${batch.partition}`;
          if (sequence <= (next.get(key) ?? -1)) wrong++;
          next.set(key, sequence);
          received++;
        }
      },
    });
    await consumer.ready();
    say('ready');
    while (received < count) {
      connection.wait(50);
      say('progress', { received });
    }
    await connection.close();
    say('done', { received, wrong });
  },

  /** Never comes back from a handler: its reader is pinned. */
  async pinned() {
    const connection = attach(attachment);
    const consumer = connection.consumer(topic, {
      from: 'earliest',
      onBatch: () => {
        say('pinned');
        for (;;) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1_000);
      },
    });
    await consumer.ready();
    say('ready');
  },

  /** Waits in a loop until the connection says that it is over. */
  async loop() {
    const connection = attach(attachment);
    say('ready');
    let code = '';
    try {
      for (;;) connection.wait(1_000);
    } catch (error) {
      code = error.code;
    }
    say('done', { code, state: connection.state });
  },

  /** Sends one message long after the connection fell idle, with nothing else to keep the thread alive. */
  async late() {
    const connection = attach(attachment);
    const sender = connection.producer(topic);
    await sender.ready();
    await new Promise((resolve) => setTimeout(resolve, 200));
    const receipt = await sender.send(body(1));
    say('done', { offset: receipt.offset });
  },

  /** Consumes in an event loop that nothing else keeps alive. */
  async events() {
    const connection = attach(attachment);
    let received = 0;
    await new Promise((resolve) => {
      const onMessage = () => {
        if (++received === count) resolve();
      };
      connection.consumer(topic, { from, onMessage });
    });
    await connection.close();
    say('done', { received });
  },

  /** Leaves without closing. */
  async leave() {
    const connection = attach(attachment);
    await connection.producer(topic).send(body(1));
    say('done');
  },

  /** Takes part and does nothing. */
  async stay() {
    attach(attachment);
    say('ready');
    setInterval(() => {}, 1_000);
  },
};

try {
  await ROLES[role]();
} catch (error) {
  say('failed', { code: error.code, message: error.stack });
  process.exitCode = 1;
}
