// A message whose answer was lost with its connection, and that the client sends again when the broker does not know
// its producer any more: nobody can say whether it is stored, and it is not stored twice.
import { expect, onTestFinished, test } from 'vitest';
import { BATCH_HEADER_BYTES } from '../../../native-layout/batch.ts';
import { connect } from '../../../src/client/node.ts';
import { dataFolder, kill, startConnected } from '../../support/engine.ts';
import { TcpProxy } from '../../support/proxy.ts';
import { until } from '../../support/until.ts';

test.each([
  ['the broker knows its producer', 'stored'],
  ['its worker was started again, and its batch has left the ring', 'outcome-unknown'],
])('sent again when %s: %s', async (_when, outcome) => {
  const { broker, connection } = await startConnected({ data: dataFolder(), listen: { port: 0 }, logLevel: 'silent' });
  await connection.createTopic('t', { partitions: 1 });
  const proxy = await TcpProxy.start(Number(new URL(broker.url as string).port));
  const far = connect(proxy.url, { reconnect: { minMs: 10, maxMs: 50 } });
  far.onError(() => {});
  onTestFinished(async () => {
    await far.close();
    await proxy.stop();
  });
  const precious = far.producer('t', { timeoutMs: 60_000 });
  await precious.ready();
  const seen: string[] = [];
  connection.consumer('t', { from: 'earliest', onMessage: (message) => void seen.push(message.text().slice(0, 8)) });

  // It arrives, and its answer does not.
  proxy.onUp = (chunk) => {
    if (chunk.length > BATCH_HEADER_BYTES) proxy.stall();
  };
  const told = precious.send('precious').then(
    () => 'stored',
    (error: { code: string }) => error.code,
  );
  await until(() => seen.includes('precious'), 'it is stored');
  const others = connection.producer('t');
  for (let i = 0; i < 100; i++) await others.send(`other ${'.'.repeat(4_000)}`);
  if (outcome === 'outcome-unknown') await kill(broker, 'broker');
  await others.send('later');
  proxy.onUp = () => {};
  proxy.cut();
  proxy.resume();

  expect(await told).toBe(outcome);
  expect(proxy.count).toBe(2);
  await precious.send('the next');
  await until(() => seen.includes('the next'), 'the next one comes');
  expect(seen.filter((text) => text === 'precious')).toHaveLength(1);
});
