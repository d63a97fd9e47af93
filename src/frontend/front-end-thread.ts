// The life of a front-end thread: start, serve, stop in order. It ends by itself when nothing is left open; ending it
// while native sockets are open would end the whole process.
import type { MessagePort } from 'node:worker_threads';
import { BrokerFigures } from '../admin/broker-figures.ts';
import { HostMeter } from '../admin/host-figures.ts';
import { type BrokerFacts, SystemMetrics } from '../admin/system-metrics.ts';
import { CODES } from '../base/codes.ts';
import { type Log, makeLog } from '../base/log.ts';
import type { Attachment } from '../memory/regions.ts';
import {
  BODY_MAX_BYTES,
  BUFFERED_MAX_BYTES,
  type FrontEndConfig,
  IDLE_TIMEOUT_S,
  MESSAGE_MAX_BYTES,
} from './config.ts';
import { FrontEnd } from './front-end.ts';
import { refusal } from './http/answers.ts';
import { HttpService } from './http/http-service.ts';
import { Origins } from './http/origins.ts';
import { SystemPublisher } from './system-publisher.ts';
import { openTransport } from './transport/open-transport.ts';
import {
  type ServerTransport,
  SUBPROTOCOLS,
  type TransportHandlers,
  type UpgradeAnswer,
  type UpgradeRequest,
} from './transport/transport.ts';

/** What the thread is started with. */
export interface FrontEndWorkerData {
  readonly attachment: Attachment;
  readonly config: FrontEndConfig;
}

const FORBIDDEN = 403;
const BAD_REQUEST = 400;

/** Runs a front end. Its first message is `listening` with the port, or `failed` with a code and a text. */
export async function runFrontEnd(data: FrontEndWorkerData, port: MessagePort, version: string): Promise<void> {
  const log = makeLog(data.config.logLevel);
  let thread: FrontEndThread | undefined;
  try {
    thread = new FrontEndThread(data, port, version, log);
    await thread.serve();
  } catch (error) {
    const { code = 'internal', message } = error as { code?: string; message: string };
    port.postMessage({ type: 'failed', code, text: message });
  }
  await thread?.end();
  port.close();
}

class FrontEndThread {
  private readonly config: FrontEndConfig;
  private readonly port: MessagePort;
  private readonly version: string;
  private readonly log: Log;
  private readonly frontEnd: FrontEnd;
  private readonly origins: Origins;
  private readonly stopAsked: Promise<void>;
  private transport: ServerTransport | undefined;
  private http: HttpService | undefined;
  private system: SystemPublisher | undefined;

  constructor(data: FrontEndWorkerData, port: MessagePort, version: string, log: Log) {
    const { config } = data;
    this.config = config;
    this.port = port;
    this.version = version;
    this.log = log;
    let stop: () => void = () => {};
    this.stopAsked = new Promise((resolve) => {
      stop = resolve;
    });
    port.on('message', (message: { readonly type?: string }) => {
      if (message.type === 'stop') stop();
    });
    this.origins = new Origins(config.origins, config.host);
    this.frontEnd = new FrontEnd(data.attachment, config, version, log, stop);
  }

  /** Until the broker stops. Rejects if it cannot listen. */
  async serve(): Promise<void> {
    const { config, frontEnd, log } = this;
    const limits = {
      messageMaxBytes: MESSAGE_MAX_BYTES,
      bodyMaxBytes: BODY_MAX_BYTES,
      bufferedMaxBytes: BUFFERED_MAX_BYTES,
      connectionsMax: config.connectionsMax,
      idleTimeoutS: IDLE_TIMEOUT_S,
    };
    const { transport, reason } = await openTransport(this.handlers(), limits, config.transport);
    this.transport = transport;
    const figures = new BrokerFigures(frontEnd.participant.regions);
    const facts = this.facts(transport);
    this.http = new HttpService(frontEnd, this.origins, figures, facts);
    if (config.systemMetrics) {
      const now = Date.now();
      const metrics = new SystemMetrics(facts, figures, new HostMeter(now), now);
      this.system = new SystemPublisher(frontEnd, metrics, log);
      await this.system.prepare();
    }
    const port = await transport.listen({ host: config.host, port: config.port, shared: config.shared });
    log.info({ port }, reason);
    this.port.postMessage({ type: 'listening', port });
    await this.stopAsked;
    this.system?.close();
    transport.stopListening();
    await frontEnd.drain();
  }

  /** Lets everything go; the thread has nothing left to do then. */
  async end(): Promise<void> {
    const { number, text } = CODES['shutting-down'];
    this.system?.close();
    await this.transport?.close(number, text);
    this.frontEnd.close();
  }

  private facts(transport: ServerTransport): BrokerFacts {
    const { brokerName: name, startedAt } = this.config;
    return { name, version: this.version, startedAt, transport: transport.name };
  }

  private handlers(): TransportHandlers {
    const { frontEnd } = this;
    return {
      upgrade: (request) => this.upgrade(request),
      open: (socket) => frontEnd.opened(socket),
      message: (socket, frame, binary) => frontEnd.message(socket, frame, binary),
      drain: (socket) => frontEnd.drained(socket),
      close: (socket, code) => frontEnd.closed(socket, code),
      request: (request) => this.http?.handle(request) ?? refusal('shutting-down'),
    };
  }

  private upgrade(request: UpgradeRequest): UpgradeAnswer {
    const host = request.header('host');
    if (!this.origins.knowsHost(host) || !this.origins.allows(request.origin, host)) {
      return { refuse: FORBIDDEN, text: CODES['origin-refused'].text };
    }
    const known = Object.values(SUBPROTOCOLS).find((name) => request.protocols.includes(name));
    if (known !== undefined) return { accept: known };
    if (request.protocols.length === 0) return { accept: SUBPROTOCOLS.json };
    return { refuse: BAD_REQUEST, text: `subprotocols are ${Object.values(SUBPROTOCOLS).join(' and ')}` };
  }
}
