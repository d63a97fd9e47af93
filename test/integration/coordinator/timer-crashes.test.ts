// The coordinator's disk dies at its first, second, third ... call between schedule and delivery; a successor goes on
// with what kill -9 or a loss of power leaves. What was acknowledged comes exactly once.
import { expect, test } from 'vitest';
import { TIMER_TOPIC } from '../../../src/wire/services.ts';
import { dataFolder, startTestBroker } from '../../support/engine.ts';
import { FaultDisk } from '../../support/fault-disk.ts';
import { type Scheduled, TimerRig } from '../../support/timer-rig.ts';
import { until } from '../../support/until.ts';

type Broker = Awaited<ReturnType<typeof startTestBroker>>;

const HOUR_MS = 3_600_000;
const CRASHES = 24;

/** What was scheduled and acknowledged, and what was taken back. */
interface Book {
  readonly acknowledged: Set<string>;
  readonly recalled: Set<string>;
  /** Whether these count is not known: the call failed. */
  readonly doubtful: Set<string>;
}

/** Messages for now, for soon and for the next hours; some are recalled. Goes on when calls fail. */
async function work(rig: TimerRig, topic: string, book: Book): Promise<void> {
  const now = rig.now();
  for (let round = 0; round < 3; round++) {
    const messages: Scheduled[] = [0, 5, 30, 60, HOUR_MS, 2 * HOUR_MS].map((delay, i) => {
      return { body: `${round}-${i}`, key: `k${i}`, deliverAt: now + round * 20 + delay };
    });
    try {
      const handles = await rig.schedule(topic, messages);
      for (const { body } of messages) book.acknowledged.add(body);
      const taken = `${round}-4`;
      book.doubtful.add(taken);
      await rig.recall(handles[4]);
      book.recalled.add(taken);
      book.doubtful.delete(taken);
    } catch {
      for (const { body } of messages) if (!book.acknowledged.has(body)) book.doubtful.add(body);
    }
  }
}

/** One life that ends at call `at` of the disk, and one after it. Returns how many calls there were. */
async function crashAt(broker: Broker, at: number, successor: (disk: FaultDisk) => FaultDisk): Promise<number> {
  const topic = `crash-${at}`;
  const admin = broker.connect();
  await admin.createTopic(topic, { partitions: 2 });
  const heard: string[] = [];
  const consumer = admin.consumer(topic, { onMessage: (message) => void heard.push(message.text()) });
  await consumer.ready();
  const disk = new FaultDisk();
  const book: Book = { acknowledged: new Set(), recalled: new Set(), doubtful: new Set() };
  const first = new TimerRig(broker, disk, { durable: true });
  disk.plan = { at, code: 'EIO', forever: true };
  await work(first, topic, book);
  const mayEnd = (): boolean => disk.faults > 0 || heard.length >= 3 * 4;
  await until(mayEnd, 'the disk dies, or all that is due comes');
  const calls = disk.calls;
  const left = successor(disk);
  disk.plan = { at: 1, code: 'EIO', forever: true };
  disk.calls = 0;
  await first.kill();
  const second = new TimerRig(broker, left, { durable: true, ahead: 3 * HOUR_MS });
  const wanted = [...book.acknowledged].filter((one) => !book.recalled.has(one) && !book.doubtful.has(one));
  await until(() => wanted.every((one) => heard.includes(one)), `${at}: what was acknowledged comes`);
  // What comes twice would come now.
  await second.schedule(topic, [
    { body: 'end-0', key: 'k0', deliverAt: 0 },
    { body: 'end-1', key: 'k1', deliverAt: 0 },
  ]);
  await until(() => heard.includes('end-0') && heard.includes('end-1'), `${at}: the end comes`);
  expect(
    heard.filter((one, i) => heard.indexOf(one) !== i),
    `${at}: twice`,
  ).toEqual([]);
  expect(
    heard.filter((one) => book.recalled.has(one)),
    `${at}: recalled`,
  ).toEqual([]);
  await second.stop();
  await admin.deleteTopic(TIMER_TOPIC);
  await admin.close();
  return calls;
}

test.each([
  ['kill -9', (disk: FaultDisk) => disk.killed()],
  ['a loss of power', (disk: FaultDisk) => disk.crash(disk.calls)],
])(
  '%s at any call of the disk: each acknowledged timer fires exactly once',
  async (_, successor) => {
    const broker = await startTestBroker({ data: dataFolder(), ringBytes: 1024 * 1024 });
    const total = await crashAt(broker, 1_000_000, successor);
    expect(total).toBeGreaterThan(CRASHES);
    const step = Math.max(1, Math.floor(total / CRASHES));
    for (let at = 1; at <= total; at += step) await crashAt(broker, at, successor);
  },
  120_000,
);

test('a recall on a disk without room is refused as that, and can be asked for again', async () => {
  const broker = await startTestBroker({ data: dataFolder(), ringBytes: 1024 * 1024 });
  const connection = broker.connect();
  await connection.createTopic('full', { partitions: 1 });
  const disk = new FaultDisk();
  const rig = new TimerRig(broker, disk, { durable: true });
  const deliverAt = rig.now() + HOUR_MS;
  await rig.schedule('full', [{ body: 'first', deliverAt }]);
  disk.plan = { at: disk.calls + 1, code: 'ENOSPC', forever: true };
  const [handle] = await rig.schedule('full', [{ body: 'second', deliverAt }]);
  await expect(rig.recall(handle)).rejects.toMatchObject({ code: 'disk-full' });
  disk.plan = undefined;
  await rig.recall(handle);
  await expect(rig.recall(handle)).rejects.toMatchObject({ code: 'too-late' });
  await rig.stop();
  await connection.close();
});
