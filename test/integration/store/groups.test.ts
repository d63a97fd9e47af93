// Where a group of consumers goes on: kept by the broker, over restarts.
import { expect, test } from 'vitest';
import { connect } from '../../../src/client/node.ts';
import { dataFolder, startConnected } from '../../support/engine.ts';
import { Check, Load } from '../../support/engine-ledger.ts';
import { until } from '../../support/until.ts';

test('a consumer of a group goes on where it was, also after a restart of the broker', async () => {
  const data = dataFolder();
  const first = await startConnected({ data });
  await first.connection.createTopic('jobs', { partitions: 2 });
  const load = new Load(first.connection.producer('jobs'));
  await load.sendBlock(100);
  const got: Check[] = [];
  for (const wanted of [100, 60]) {
    if (wanted === 60) await load.sendBlock(60);
    const check = new Check();
    const consumer = first.connection.consumer('jobs', {
      group: 'billing',
      mode: 'broadcasting',
      from: 'earliest',
      onMessage: check.take,
      onGap: check.gap,
    });
    await until(() => check.got.size === wanted, 'the group gets its messages');
    await consumer.close();
    got.push(check);
  }
  await load.sendBlock(40);
  await first.broker.stop();

  const second = await startConnected({ data });
  const check = new Check();
  second.connection.consumer('jobs', {
    group: 'billing',
    mode: 'broadcasting',
    onMessage: check.take,
    onGap: check.gap,
  });
  await until(() => check.got.size === 40, 'what came while nobody of the group was there');
  got.push(check);
  const all = new Map(got.flatMap((one) => [...one.got]));
  expect([all.size, got.flatMap((one) => one.faults)]).toEqual([200, []]);
  expect([...load.acked].filter(([place, body]) => all.get(place) !== body)).toEqual([]);
});

test('over WebSocket a group may be the first to use a topic', async () => {
  const { broker, connection } = await startConnected({ data: dataFolder(), listen: { port: 0, transport: 'ws' } });
  const remote = connect(broker.url ?? '');
  const check = new Check();
  const consumer = remote.consumer('fresh', {
    group: 'g',
    mode: 'broadcasting',
    commitMs: 20,
    onMessage: check.take,
    onGap: check.gap,
  });
  await consumer.ready();
  const { partition, offset } = await connection.producer('fresh').send('first');
  await until(() => check.got.size === 1, 'the message arrives');
  await consumer.commit();
  expect(await remote.committed('g', 'fresh')).toContainEqual(
    expect.objectContaining({ partition, offset: offset + 1 }),
  );
  await remote.close();
});
