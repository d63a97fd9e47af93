// Threads of a broker with data that die under load: nothing that was acknowledged is lost, doubled or out of order,
// neither for those who read along nor for those who come later.
import { expect, onTestFinished, test } from 'vitest';
import type { ServerThread } from '../../../src/thread/spawn.ts';
import { dataFolder, kill, startConnected } from '../../support/engine.ts';
import { Check, Load, readAll } from '../../support/engine-ledger.ts';
import { until } from '../../support/until.ts';

test.each<ServerThread>(['store', 'log-reader', 'broker', 'nameserver'])(
  'the %s thread dies under load',
  async (name) => {
    const data = dataFolder();
    const { broker, connection } = await startConnected({ data, workers: 2 });
    await connection.createTopic('busy', { partitions: 4, ringBytes: 256 * 1024 });
    const live = new Check();
    const consumer = connection.consumer('busy', { from: 'earliest', onMessage: live.take, onGap: live.gap });
    await consumer.ready();
    const load = new Load(connection.producer('busy', { timeoutMs: 30_000, ack: 'durable' }));
    load.start(50, 200);
    onTestFinished(() => load.stop());
    for (let round = 0; round < 3; round++) {
      const before = load.acked.size;
      await until(() => load.acked.size > before + 500, 'messages are acknowledged', 20_000);
      await kill(broker, name, round % 2 === 0 || name !== 'broker' ? 0 : 1);
      const after = load.acked.size;
      await until(() => load.acked.size > after + 500, 'and again after the death', 20_000);
    }
    await load.stop();
    expect(load.failed).toEqual([]);
    await until(() => live.got.size >= load.acked.size, 'everything acknowledged arrives', 20_000);
    expect([live.faults, live.missing(load.acked), live.doubled()]).toEqual([[], [], []]);
    const later = await readAll(connection, 'busy');
    expect([later.faults, later.missing(load.acked), later.doubled()]).toEqual([[], [], []]);
    await broker.stop();

    const again = await startConnected({ data });
    const kept = await readAll(again.connection, 'busy');
    expect([kept.faults, kept.missing(load.acked), kept.doubled()]).toEqual([[], [], []]);
  },
);
