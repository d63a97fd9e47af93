// Process door of the bench server: takes its options as a message, says its URL, ends with its parent.
import { type BrokerOptions, startBroker } from '../../src/index.ts';

process.once('message', async (options: BrokerOptions) => {
  const listen = { port: 0, systemMetrics: false, ...options.listen };
  const broker = await startBroker({ logLevel: 'error', ...options, listen });
  process.once('disconnect', () => void broker.stop());
  process.send?.({ url: broker.url });
});
