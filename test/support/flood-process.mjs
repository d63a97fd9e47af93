// A program with a broker inside that publishes to many topics as fast as the disk takes it, until it is killed: the
// store is behind all the time. Every line of its output says how many messages of each topic are acknowledged.
//
//   node flood-process.mjs DIST DATA TOPICS
import { writeSync } from 'node:fs';
import { pathToFileURL } from 'node:url';

const [dist, data, topics] = process.argv.slice(2);
const { startBroker } = await import(pathToFileURL(`${dist}/src/index.js`).href);
/** Messages of one topic in one round: some batches. */
const ROUND = 500;
const BODY = 'x'.repeat(100);

const broker = await startBroker({ data, ringBytes: 256 * 1024, partitionsDefault: 1 });
const connection = broker.connect();
const producers = Array.from({ length: Number(topics) }, (_, n) => {
  return connection.producer(`flood-${n}`, { ack: 'durable', batchBytes: 16 * 1024 });
});
await Promise.all(producers.map((producer) => producer.ready()));
// What a predecessor of this process sent is there before: bodies go on with the offset.
const first = await Promise.all(
  producers.map(async (_, n) => (await connection.route(`flood-${n}`)).partitions[0].nextOffset),
);

async function flood(producer, n) {
  let next = first[n];
  for (;;) {
    let last;
    for (const end = next + ROUND; next < end; next++) {
      last = producer.send(`${next} ${BODY}`);
      if (next % 100 === 99) await producer.ready();
    }
    await last;
    writeSync(1, `${n} ${next}\n`);
  }
}

await Promise.all(producers.map(flood));
