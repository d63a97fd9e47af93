// A worker thread that is told which features to run over shared memory, one after the other, and says how they went.
import { parentPort, workerData } from 'node:worker_threads';
import * as ringmq from '../../../dist/src/index.js';
import { NODE_FEATURES } from './all.mjs';
import { makeTools } from './tools.mjs';

parentPort.on('message', async (title) => {
  const opened = [];
  const open = async (options) => {
    const connection = ringmq.attach(workerData.attachment, options);
    connection.onError(() => {});
    opened.push(connection);
    return connection;
  };
  try {
    const id = `thread-${Object.keys(NODE_FEATURES).indexOf(title)}`;
    await NODE_FEATURES[title](await open({}), makeTools({ ringmq, open, id }));
    parentPort.postMessage('');
  } catch (error) {
    parentPort.postMessage(error.stack ?? String(error));
  } finally {
    for (const connection of opened) await connection.close();
  }
});
