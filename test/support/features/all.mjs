// Every feature that all clients have: title -> what shows it.
import { BAD_INPUT } from './bad-input.mjs';
import { GROUPS } from './groups.mjs';
import { LEASES_AND_LATER } from './leases-and-later.mjs';
import { SENDING_AND_READING } from './sending-and-reading.mjs';

export const FEATURES = { ...SENDING_AND_READING, ...GROUPS, ...LEASES_AND_LATER, ...BAD_INPUT };
