// Handler of a pool whose work is remembered when its process is killed: starts and ends stand in a file, which all
// processes append to, so that its lines are in the order in which things happened.
const { appendFileSync } = require('node:fs');
const { setTimeout: sleep } = require('node:timers/promises');
const { threadId } = require('node:worker_threads');

const WORK_MS = 2;

module.exports = async function work({ body, partition, offset, properties, attempts }) {
  const id = Buffer.from(body).toString();
  const write = (what) =>
    appendFileSync(properties.book, `${what} ${id} ${process.pid} ${threadId} ${partition}@${offset}\n`);
  write('start');
  await sleep(WORK_MS);
  if (Number(id) % 7 === 3 && attempts === 1) throw new Error('it fails by plan');
  write('end');
};
