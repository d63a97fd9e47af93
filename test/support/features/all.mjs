// Every feature: title -> what shows it. `FEATURES` all clients have, `NODE_FEATURES` those of Node.
import { BAD_INPUT } from './bad-input.mjs';
import { GROUPS } from './groups.mjs';
import { LEASES_AND_LATER } from './leases-and-later.mjs';
import { POOL } from './pool.mjs';
import { SENDING_AND_READING } from './sending-and-reading.mjs';

export const FEATURES = { ...SENDING_AND_READING, ...GROUPS, ...LEASES_AND_LATER, ...BAD_INPUT };
export const NODE_FEATURES = { ...FEATURES, ...POOL };
