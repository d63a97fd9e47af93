// The folder after an orderly stop.
import type { Books } from './books.ts';
import { BrokerProcess } from './broker-process.ts';
import type { Network } from './network.ts';
import type { BrokerSettings, DataFolder } from './server-threads.ts';
import type { World } from './world.ts';

export function checkFolder(
  world: World,
  network: Network,
  folder: DataFolder,
  settings: BrokerSettings,
  books: Books,
  names: ReadonlyMap<number, string>,
): void {
  const broker = new BrokerProcess(world, network, folder, settings);
  const { clean, queues } = broker.recovered;
  broker.dispose();
  if (!clean) books.fault('the log was not closed in order');
  if (folder.disk.list().length === 0) books.fault('the folder is empty');
  for (const { topicId, partition, nextOffset: end } of queues) {
    const place = `${names.get(topicId)}/${partition}`;
    const seen = books.audit.next(place);
    if (end !== seen && seen > 0) books.fault(`${place} ends at ${end} after the stop, readers saw up to ${seen}`);
  }
}
