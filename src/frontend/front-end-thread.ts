// The life of a front-end thread: start, serve, stop in order. It ends by itself when nothing is left open; ending it while
// native sockets are open would end the whole process.
import type { MessagePort } from 'node:worker_threads';
import { makeLog } from '../base/log.ts';
import type { Attachment } from '../memory/regions.ts';
import {
  BODY_MAX_BYTES,
  BUFFERED_MAX_BYTES,
  type FrontEndConfig,
  IDLE_TIMEOUT_S,
  MESSAGE_MAX_BYTES,
} from './config.ts';
import { FrontEnd } from './front-end.ts';
import { openTransport } from './transport/open-transport.ts';
import { type ServerTransport, SUBPROTOCOLS, type TransportHandlers } from './transport/transport.ts';

/** What the thread is started with. */
export interface FrontEndWorkerData {
  readonly attachment: Attachment;
  readonly config: FrontEndConfig;
}

/** Runs a front end. Its first message is `listening` with the port, or `failed` with a code and a text. */
export async function runFrontEnd(data: FrontEndWorkerData, port: MessagePort, version: string): Promise<void> {
  const { config } = data;
  const log = makeLog(config.logLevel);
  let stopped: () => void = () => {};
  const stop = new Promise<void>((resolve) => {
    stopped = resolve;
  });
  port.on('message', (message: { readonly type?: string }) => {
    if (message.type === 'stop') stopped();
  });
  const frontEnd = new FrontEnd(data.attachment, config, version, log, stopped);
  let transport: ServerTransport | undefined;
  try {
    const opened = await openTransport(handlersOf(frontEnd), limitsOf(config), config.transport);
    transport = opened.transport;
    const listening = await transport.listen({ host: config.host, port: config.port, shared: config.shared });
    log.info({ port: listening }, opened.reason);
    port.postMessage({ type: 'listening', port: listening });
    await stop;
    transport.stopListening();
    await frontEnd.drain();
  } catch (error) {
    const { code = 'internal', message } = error as { code?: string; message: string };
    port.postMessage({ type: 'failed', code, text: message });
  }
  await transport?.close(4000, 'the broker is shutting down');
  frontEnd.close();
  port.close();
}

function handlersOf(frontEnd: FrontEnd): TransportHandlers {
  return {
    upgrade: (request) => {
      const known = Object.values(SUBPROTOCOLS).find((name) => request.protocols.includes(name));
      if (known !== undefined) return { accept: known };
      if (request.protocols.length === 0) return { accept: SUBPROTOCOLS.json };
      return { refuse: 400, text: `subprotocols are ${Object.values(SUBPROTOCOLS).join(' and ')}` };
    },
    open: (socket) => frontEnd.opened(socket),
    message: (socket, frame, binary) => frontEnd.message(socket, frame, binary),
    drain: (socket) => frontEnd.drained(socket),
    close: (socket, code) => frontEnd.closed(socket, code),
    request: () => ({ status: 404, headers: {}, body: 'not found' }),
  };
}

function limitsOf(config: FrontEndConfig) {
  return {
    messageMaxBytes: MESSAGE_MAX_BYTES,
    bodyMaxBytes: BODY_MAX_BYTES,
    bufferedMaxBytes: BUFFERED_MAX_BYTES,
    connectionsMax: config.connectionsMax,
    idleTimeoutS: IDLE_TIMEOUT_S,
  };
}
