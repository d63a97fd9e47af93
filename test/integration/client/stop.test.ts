// A broker that is stopped while handlers of its own process hang.
import { expect, test } from 'vitest';
import { startConnected } from '../../support/engine.ts';
import { until } from '../../support/until.ts';

test('stop waits for the handlers of its process as long as drainMs says, not as long as they may take', async () => {
  const { broker, connection } = await startConnected({ drainMs: 100 });
  await connection.createTopic('t', { partitions: 1 });
  let handling = 0;
  connection.onError(() => {});
  connection.consumer('t', {
    group: 'g',
    from: 'earliest',
    handlerTimeoutMs: 60_000,
    onMessage: () => {
      handling++;
      return new Promise<void>(() => {});
    },
  });
  await connection.producer('t').send('hangs');
  await until(() => handling === 1, 'the handler has it');
  const began = performance.now();
  await broker.stop();
  expect(connection.state).toBe('closed');
  expect(performance.now() - began).toBeLessThan(4_000);
});
