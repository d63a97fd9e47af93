// The front-end threads of a broker: started together on one port, stopped together.

import { RingmqError } from '../base/codes.ts';
import type { Log } from '../base/log.ts';
import type { FrontEndConfig } from '../frontend/config.ts';
import { probePort } from '../frontend/transport/port-probe.ts';
import { loadUwsBinding } from '../frontend/transport/uws-binding.ts';
import type { Supervisor } from '../thread/supervisor.ts';
import type { SettledListen, SettledOptions } from './options.ts';

/** Longest orderly stop of a front end: draining acknowledgements, then closing sockets, then terminating the rest. */
const FRONT_END_STOP_MS = 4_000;

export class FrontEnds {
  private readonly options: SettledOptions;
  private readonly listen: SettledListen;
  private readonly supervisor: Supervisor;
  private readonly log: Log;
  private port = 0;

  constructor(options: SettledOptions, listen: SettledListen, supervisor: Supervisor, log: Log) {
    this.options = options;
    this.listen = listen;
    this.supervisor = supervisor;
    this.log = log;
  }

  get url(): string | undefined {
    if (this.port === 0) return undefined;
    const host = this.listen.host.includes(':') ? `[${this.listen.host}]` : this.listen.host;
    return `ws://${host}:${this.port}`;
  }

  /** Fails early, with the reason, if the port cannot be had: SO_REUSEPORT would hide a second broker. */
  async probe(): Promise<void> {
    if (this.listen.port !== 0) await probePort(this.listen.host, this.listen.port);
  }

  async start(): Promise<void> {
    const count = this.threadCount();
    this.port = await this.startOne(this.listen.port, count > 1, true);
    for (let i = 1; i < count; i++) await this.startOne(this.port, true, false);
  }

  /** Front ends close their sockets with `shutting-down` and end. */
  async stop(withinMs: number): Promise<void> {
    // A front end that is terminated with open sockets takes the process along (uWebSockets.js): it gets the time that
    // its own steps may take, whatever the caller wishes.
    const patienceMs = Math.max(withinMs, FRONT_END_STOP_MS);
    await this.supervisor.end('frontend', () => this.supervisor.tell('frontend', { type: 'stop' }), patienceMs);
  }

  private threadCount(): number {
    const { transport, frontends } = this.listen;
    if (frontends === 1) return 1;
    const binding = transport === 'ws' ? { ok: false } : loadUwsBinding();
    if (binding.ok) return frontends;
    this.log.warn({ asked: frontends }, 'the ws transport cannot share a port between threads: one front end runs');
    return 1;
  }

  private async startOne(port: number, shared: boolean, first: boolean): Promise<number> {
    let bound = port;
    const ready = (await this.supervisor.start({
      name: 'frontend',
      seat: -1,
      workerData: (attachment) => ({ attachment, config: this.config(bound, shared, first) }),
    })) as { type: string; port: number };
    if (ready.type !== 'listening') throw new RingmqError('internal', `the front end said ${ready.type}`);
    // A restarted front end must come back on the same port.
    bound = ready.port;
    return ready.port;
  }

  private config(port: number, shared: boolean, first: boolean): FrontEndConfig {
    const { host, transport, origins, connectionsMax, systemMetrics } = this.listen;
    return {
      brokerName: this.options.name,
      host,
      port,
      shared,
      transport,
      origins,
      connectionsMax,
      systemMetrics: systemMetrics && first,
      startedAt: Date.now(),
      logLevel: this.options.logLevel,
    };
  }
}
