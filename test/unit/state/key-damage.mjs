// A process that opens a key index which the test has damaged: lmdb can end it. Says what became of the index.
import fs from 'node:fs';
import path from 'node:path';
import { KeyIndexReader, KeyIndexWriter } from '../../../dist/src/state/key-index.js';

const MATCHES_MAX = 10_000;
const folder = process.argv[2];

const wipe = () => {
  for (const name of fs.readdirSync(folder)) fs.unlinkSync(path.join(folder, name));
};
const writer = new KeyIndexWriter(folder, wipe, Number.MAX_SAFE_INTEGER);
const reader = new KeyIndexReader(folder);
const found = {};
for (let i = 0; i < 7; i++) found[`key ${i}`] = reader.find(1, `key ${i}`, 0, 2 ** 47, MATCHES_MAX);
reader.close();
writer.apply([{ topicId: 1, partition: 0, offset: 1, storedAt: 1, epoch: 1, key: 'new' }], 20);
await writer.pending;
const applied = writer.appliedPosition === 20;
const rebuilds = writer.rebuilds;
await writer.close();
process.stdout.write(JSON.stringify({ rebuilds, applied, found }));
