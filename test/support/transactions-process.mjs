// A program with a broker inside that begins and ends transactions until it is killed. Every line of its output says
// what it was answered: "+ body" committed, "- body" rolled back.
//
//   node transactions-process.mjs DIST DATA PREFIX
import { writeSync } from 'node:fs';
import { pathToFileURL } from 'node:url';

const [dist, data, prefix] = process.argv.slice(2);
const { startBroker } = await import(pathToFileURL(`${dist}/src/index.js`).href);
const broker = await startBroker({ data });
const connection = broker.connect();
await connection.createTopic('orders', { partitions: 3, ifNotExists: true });
// Nobody is asked about open ones: they stay open.
const producer = connection.transactionalProducer('orders', { group: prefix, check: () => 'unknown' });

async function work(line) {
  for (let i = 0; ; i++) {
    const body = `${prefix}.${line}.${i}`;
    const transaction = await producer.begin(body, { key: `k${i % 7}` });
    if (i % 11 === 10) continue;
    if (i % 5 === 0) await transaction.rollback();
    else await transaction.commit();
    writeSync(1, `${i % 5 === 0 ? '-' : '+'} ${body}\n`);
  }
}

await Promise.all(Array.from({ length: 24 }, (_, line) => work(line)));
