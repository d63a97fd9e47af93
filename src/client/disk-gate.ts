// What a full disk means to publishers in the process: batches of durable topics stay with their producer until there
// is room or their time is over, as over the network. The broker would refuse them, and their memory would be gone.
import { BATCH_PARTITION, REQUEST_ACK } from '../../native-layout/batch.ts';
import { CODES, RingmqError } from '../base/codes.ts';
import { ACK_LEVELS } from '../base/units.ts';
import { readIdentity } from '../memory/partition-entry.ts';
import type { Regions } from '../memory/regions.ts';
import { storeRefusal } from '../memory/store-state.ts';

const DISK_FULL = CODES['disk-full'].number;

/** True if a closed batch must not go now. One that wants no answer goes, and is lost. HOT */
export function waitsForDisk(regions: Regions, bytes: Uint8Array): boolean {
  const { store } = regions;
  if (store === undefined || storeRefusal(store) !== DISK_FULL || bytes[REQUEST_ACK] === ACK_LEVELS.none) return false;
  const partition = new DataView(bytes.buffer, bytes.byteOffset).getInt32(BATCH_PARTITION, true);
  return isDurable(regions, partition);
}

/** Why batches of a partition do not go, if it is the disk. */
export function diskRefusal(regions: Regions, partition: number): RingmqError | undefined {
  const { store } = regions;
  const isFull = store !== undefined && storeRefusal(store) === DISK_FULL && isDurable(regions, partition);
  return isFull ? new RingmqError('disk-full') : undefined;
}

function isDurable({ table }: Regions, partition: number): boolean {
  return readIdentity(table, partition)?.durable === true;
}
