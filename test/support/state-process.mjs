// A NameServer in one thread on a real folder, as a process that can be killed: it creates topics and commits offsets,
// and prints what was answered, a line each, as soon as it has the answer.
//
//   node test/support/state-process.mjs FOLDER COUNT
import fs from 'node:fs';

const dist = (name) => import(new URL(`../../dist/src/${name}.js`, import.meta.url).href);
const [{ createRegions, attachRegions }, { claimSeat, openLane }, { Bells }, { NameServerAgent }] = await Promise.all(
  ['memory/regions', 'memory/seats', 'memory/bell', 'nameserver/nameserver-agent'].map(dist),
);
const [{ openMetaStore }, { ControlLane }] = await Promise.all(['state/meta-store', 'thread/control-lane'].map(dist));
const [folder, count] = [process.argv[2], Number(process.argv[3])];

const NAMESERVER = 1;
const [WORKER, CLIENT] = [2, 20];
const sizes = { workerCount: 1, frontendCount: 0, partitionMax: 256, laneBytes: 4096, replyBytes: 256 };
const regions = attachRegions(createRegions('kill', { ...sizes, controlLaneBytes: 65_536, durable: true }));
claimSeat(regions.control, WORKER, WORKER, 'broker', 1);
claimSeat(regions.control, CLIENT, CLIENT, 'embedded', 1);
openLane(regions.control, NAMESERVER, CLIENT);
const options = {
  topicsMax: 1000,
  partitionsPerTopicMax: 16,
  partitionsDefault: 1,
  ringBytesDefault: 65_536,
  laneMessageMaxBytes: 32_768,
  overflowDefault: 'block',
  durableDefault: true,
  autoCreate: true,
  expireMs: 120_000,
  scanMs: 5_000,
};
const recovered = { queues: [], clean: false };
const memory = { known: [], meta: openMetaStore(folder), recovered, warn: () => {} };
const agent = new NameServerAgent(regions, options, Date.now, memory, () => {});
const lane = new ControlLane(regions, CLIENT, new Bells(regions.control));

async function ask(command) {
  const answer = lane.request(command, Date.now());
  while (lane.pending > 0) {
    agent.work(Date.now());
    lane.work();
  }
  return answer;
}

const rest = { partitions: 1, overflow: 'block', ringBytes: 0, direct: false, durable: true, retentionMs: 0 };
for (let i = 0; i < count; i++) {
  const topic = `t${process.pid}.${i}`;
  const { route } = await ask({ type: 'create-topic', topic, ...rest, retentionBytes: 0, ifNotExists: false });
  fs.writeSync(1, `topic ${topic} ${route.topicId}\n`);
  const group = `g${i}`;
  await ask({ type: 'commit-offsets', group, topic, positions: [{ partition: 0, epoch: i, offset: 0 }] });
  fs.writeSync(1, `offsets ${topic} ${group} ${i}\n`);
}
agent.close();
