// A member of the group `g` on the topic `t` with its handlers in a pool, in a process of its own that can be killed:
//
//   node pool-process.mjs BOOK ws://…          a remote client
//   node pool-process.mjs BOOK FOLDER PORT     beside a broker in this process, with its data there
//
// What it handled stands in the file BOOK (pool-work.cjs); so do the acknowledgements that were answered. Ends in order
// on SIGTERM.
import { appendFileSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { connect } from '../../dist/src/client/node.js';
import { startBroker } from '../../dist/src/index.js';

const [book, place, port] = process.argv.slice(2);
const HANDLER = new URL('pool-work.cjs', import.meta.url);
const COMMIT_MS = 20;

let stopped = false;
process.on('SIGTERM', () => {
  stopped = true;
});

const broker =
  port === undefined ? undefined : await startBroker({ data: place, workers: 1, listen: { port: Number(port) } });
const bus = broker?.connect() ?? connect(place, { reconnect: { minMs: 20, maxMs: 200 } });
bus.onError(() => {});
// Before anybody joins: members hear of other settings a moment later.
await bus.createTopic('t', { partitions: 4, ifNotExists: true });
await bus.setGroup('g', { retryDelaysMs: [20], attemptsMax: 5 });
process.stdout.write('ready\n');
while (!stopped) await live();
await bus.close();
await broker?.stop();

/** One consumer, until something that it had belongs to others. */
async function live() {
  const begin = lines().length;
  const onError = () => {};
  const options = { group: 'g', from: 'earliest', order: 'key', commitMs: Number.POSITIVE_INFINITY, onError };
  const consumer = bus.consumer('t', options);
  await consumer.pool(HANDLER, { threads: 2 });
  const told = new Set();
  while (!stopped) {
    await sleep(COMMIT_MS);
    const done = counted(lines().slice(begin)).filter((id) => !told.has(id));
    if (done.length === 0) continue;
    try {
      await consumer.commit();
    } catch (error) {
      if (error.code === 'stale-generation') break;
      continue;
    }
    for (const id of done) told.add(id);
    appendFileSync(book, done.map((id) => `acked ${id} ${process.pid}\n`).join(''));
  }
  await consumer.close();
}

function lines() {
  return readFileSync(book, 'utf8').split('\n').slice(0, -1);
}

/**
 * What the consumer knows to be done: a thread is given its next message when the result of the one before has come.
 * The last one of each thread may still be on its way.
 */
function counted(all) {
  const ended = new Map();
  const known = [];
  for (const line of all) {
    const [what, id, pid, thread] = line.split(' ');
    if (Number(pid) !== process.pid) continue;
    if (what === 'end') ended.set(thread, id);
    if (what !== 'start' || !ended.has(thread)) continue;
    known.push(ended.get(thread));
    ended.delete(thread);
  }
  return known;
}
