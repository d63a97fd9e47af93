// A process that writes a log until it is killed: `log-process.mjs FOLDER MODE BLOCKS`. Prints `durable END` after each
// block that is on the disk, END being a log position. Uses the compiled code.
import { writeSync } from 'node:fs';
import { BlockBuilder } from '../../dist/src/log/block-builder.js';
import { NodeDisk } from '../../dist/src/log/disk-node.js';
import { LogWriter } from '../../dist/src/log/log-writer.js';
import { recoverLog } from '../../dist/src/log/recovery.js';

const [folder, mode, blocks] = process.argv.slice(2);
const BATCH_HEADER_BYTES = 64;
const MAGIC_WORD = 0x4d52 | (1 << 16);
const BATCH_BYTES = 10_240;

const disk = new NodeDisk(folder);
const found = recoverLog(disk, { onDamage: 'stop', ringBytesMax: 0 });
const options = { mode, segmentBytes: 64 * 1024, generation: 1, clock: Date.now };
const writer = new LogWriter(disk, options, found);
const builder = new BlockBuilder();

const words = new Int32Array(BATCH_BYTES / 4);
words[0] = BATCH_BYTES;
words[1] = MAGIC_WORD;
words[11] = 1;
const batch = new Uint8Array(words.buffer).fill(0x5a, BATCH_HEADER_BYTES);
let offset = found.queues[0]?.nextOffset ?? 0;
for (let i = 0; i < Number(blocks); i++) {
  words[4] = offset++;
  builder.begin();
  builder.openRun(1, 0, 1);
  builder.copy(batch, 0, BATCH_BYTES);
  builder.closeRun();
  writer.append(builder);
  writer.sync();
  writeSync(1, `durable ${writer.durableEnd}\n`);
}
writer.close();
