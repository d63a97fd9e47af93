// One run: the lives of the server between its kills, and the report.
import { availableParallelism, loadavg } from 'node:os';
import type { CrashPoint } from '../src/log/crash-point.ts';
import { Audit } from './audit.ts';
import { Checker } from './checker.ts';
import { goesOn } from './goes-on.ts';
import { Load } from './load.ts';
import { Messaging } from './messaging.ts';
import { type Crash, Plan } from './plan.ts';
import { Server } from './server.ts';
import { pause } from './topic-reader.ts';

export interface RunOptions {
  readonly kills: number;
  readonly seed: number;
  readonly folder: string;
  readonly port: number;
  readonly serveArgs: readonly string[];
  /** Places in the code to end something at. Default: all. */
  readonly points?: readonly CrashPoint[];
  /** Started in place of `bin/ringmq.mjs`. */
  readonly program?: string;
  /** After the death of a thread all must get answers again within this time. Default 20,000. */
  readonly goesOnMaxMs?: number;
}

export interface Report {
  readonly ok: boolean;
  readonly text: string;
  readonly kills: Readonly<Record<string, number>>;
  readonly seed: number;
  readonly sent: number;
  readonly acknowledged: number;
  readonly keptAcks: number;
  readonly unanswered: number;
  readonly stored: number;
  readonly delivered: number;
  readonly startMsMax: number;
  readonly seconds: number;
  readonly anomalies: readonly string[];
  readonly faults: readonly string[];
}

/** Small segments, rings and journals: they roll, wrap and fill all the time. */
const SERVE_ARGS = [
  ...['--segment-bytes', '1m', '--ring-bytes', '256k', '--log-level', 'warn'],
  ...['--journal-tail-bytes', '64k', '--timer-checkpoint', '200ms'],
  ...['--transaction-timeout', '800ms', '--transaction-check', '500ms'],
];
const TOPICS = ['alpha', 'beta', 'gamma'];
/** A topic is made in every so many lives. */
const FRESH_TOPIC_EVERY = 50;
const FRESH_TOPICS_MAX = 8;
const LIFE_MIN_MS = 150;
const LIFE_SPAN_MS = 700;
/** A server that should end itself somewhere has this long. */
const POINT_MAX_MS = 1_500;
const CATCH_UP_MAX_MS = 60_000;
/** From when a server is ready to its end: what takes longer stood still somewhere, and clients with it. */
const LIFE_MAX_MS = 45_000;
const FAULTS_SHOWN = 20;

export class Run {
  private readonly options: RunOptions;
  private readonly say: (text: string) => void;
  private readonly checker = new Checker();
  private readonly audit = new Audit(this.checker);
  private readonly load: Load;
  private readonly messaging: Messaging;
  private readonly plan: Plan;
  private readonly topics = [...TOPICS];
  private readonly kills: Record<string, number> = {};
  private readonly faults: string[] = [];
  private startMsMax = 0;

  constructor(options: RunOptions, say: (text: string) => void) {
    this.options = options;
    this.say = say;
    this.plan = new Plan(options.seed, options.points);
    const url = `ws://127.0.0.1:${options.port}`;
    this.load = new Load({ url, topics: this.topics, producersPerTopic: 3 }, this.checker);
    this.messaging = new Messaging(url);
  }

  async run(): Promise<Report> {
    const began = Date.now();
    this.load.start();
    this.messaging.start();
    for (let kill = 1; kill <= this.options.kills; kill++) {
      const how = await this.life(kill, this.plan.kill(kill));
      this.kills[how] = (this.kills[how] ?? 0) + 1;
      this.say(`kill ${kill}/${this.options.kills}: ${how}; ${this.load.figures.kept} kept acks so far`);
      if (this.checker.anomalies.length + this.messaging.anomalies.length > 0) break;
    }
    await this.lastLife();
    this.checker.finish();
    return this.report(Math.round((Date.now() - began) / 1000));
  }

  /** Starts the server, lets it work, kills it. Says how it died. */
  private async life(number: number, crash: Crash | undefined): Promise<string> {
    const server = this.start(crash);
    const url = await this.timed(server);
    const began = Date.now();
    if (url !== undefined) {
      await this.auditNow(server, url);
      const wanted = number % FRESH_TOPIC_EVERY === 0 || crash?.point === 'state.topic-created';
      if (wanted && this.topics.length < TOPICS.length + FRESH_TOPICS_MAX) this.freshTopic();
      await this.untilKilled(server, crash);
    }
    const itself = !server.alive;
    server.kill();
    const how = await server.ended;
    const tookMs = Date.now() - began;
    if (server.hung) return 'in a start that hung';
    if (tookMs > LIFE_MAX_MS)
      this.faults.push(`life ${number} took ${tookMs} ms${load()}: something in it stood still`);
    if (server.threadsEnded > (crash?.threadOnly ? 1 : 0)) this.faults.push(`a thread died: ${server.lastWords}`);
    if (crash?.threadOnly && server.threadsEnded > 0) {
      // A broker one of whose threads dies before it was ready says so, and does not start.
      if (itself && url !== undefined) this.faults.push(`the server ended with ${how}: ${server.lastWords}`);
      return `a thread at ${crash.point}${url === undefined ? ', which ended the start' : ''}`;
    }
    if (itself && crash === undefined) this.faults.push(`the server ended by itself: ${server.lastWords}`);
    if (itself && how !== 'SIGKILL') this.faults.push(`the server ended with ${how}: ${server.lastWords}`);
    return itself && crash ? `at ${crash.point}` : 'at a random moment';
  }

  /** Until it has ended itself, or it is time to end it. What outlives one of its threads must go on. */
  private async untilKilled(server: Server, crash: Crash | undefined): Promise<void> {
    const { random } = this.plan;
    const come = crash?.threadOnly ? Promise.race([server.ended, server.threadEnded]) : server.ended;
    if (crash) await Promise.race([come, pause(POINT_MAX_MS)]);
    if (crash && server.threadsEnded === 0) return;
    if (crash) await this.goesOn(server, crash);
    await Promise.race([server.ended, pause(LIFE_MIN_MS + random() * LIFE_SPAN_MS)]);
  }

  private async goesOn(server: Server, { point }: Crash): Promise<void> {
    const counts = await goesOn({ server, answers: () => this.answers, maxMs: this.options.goesOnMaxMs });
    if (counts === undefined) return;
    const text = `after a thread has died at ${point} somebody gets no answers`;
    this.faults.push(`${text}${load()}: ${counts}: ${server.lastWords}`);
  }

  /** Acknowledgements of the store, and to each group. */
  private get answers(): readonly number[] {
    return [this.load.figures.kept, ...this.messaging.acks];
  }

  /** Everything settles: producers end, consumers catch up, the whole log is read, the server stops in order. */
  private async lastLife(): Promise<void> {
    const server = this.start(undefined);
    const url = await this.timed(server);
    if (url === undefined) {
      this.faults.push(`the server does not start any more: ${server.log.join(' | ')}`);
      return;
    }
    await Promise.all([this.load.stop(), this.messaging.stop()]);
    await this.messaging.audit();
    const ends = await this.audit.run(url, this.topics, true).catch((error: unknown) => {
      this.faults.push(String(error));
      return new Map<string, number>();
    });
    const deadline = Date.now() + CATCH_UP_MAX_MS;
    while (!this.load.caughtUp(ends) && Date.now() < deadline) await pause(50);
    await this.load.close();
    const how = await server.stop();
    if (how !== 'code 0') this.faults.push(`the last stop ended with ${how}: ${server.lastWords}`);
  }

  private start(crash: Crash | undefined): Server {
    const { folder, port, serveArgs, program } = this.options;
    const place = crash && `${crash.point}:${crash.count}${crash.threadOnly ? ':thread' : ''}`;
    return new Server({ folder, port, crash: place, args: [...SERVE_ARGS, ...serveArgs], program });
  }

  private async timed(server: Server): Promise<string | undefined> {
    const began = Date.now();
    const url = await server.ready();
    const tookMs = Date.now() - began;
    if (url !== undefined) this.startMsMax = Math.max(this.startMsMax, tookMs);
    if (server.hung) this.faults.push(`a start hung and was ended after ${tookMs} ms${load()}: ${server.lastWords}`);
    return url;
  }

  /** A server that dies meanwhile is no fault: the next life reads the same again. */
  private async auditNow(server: Server, url: string): Promise<void> {
    const died = new AbortController();
    void server.ended.then(() => died.abort());
    await this.audit.run(url, this.topics, false, died.signal).catch((error: unknown) => {
      if (server.alive) this.faults.push(String(error));
    });
  }

  private freshTopic(): void {
    const topic = `fresh-${this.topics.length}`;
    this.topics.push(topic);
    this.load.addTopic(topic, 1);
  }

  private report(seconds: number): Report {
    const { figures } = this.load;
    const faults = [...this.faults, ...this.load.faults, ...this.messaging.faults].slice(0, FAULTS_SHOWN);
    const messages = this.checker.anomalies.map((one) => `${one.kind}: ${one.text}`);
    const anomalies = [...messages, ...this.messaging.anomalies];
    const ok = anomalies.length === 0 && faults.length === 0;
    const total = Object.values(this.kills).reduce((sum, one) => sum + one, 0);
    const text = [
      `${total} kills in ${seconds} s, seed ${this.options.seed}: ${ok ? 'nothing lost' : 'PROMISES BROKEN'}`,
      ...Object.entries(this.kills).map(([how, count]) => `  ${String(count).padStart(4)} ${how}`),
      `sent ${figures.sent}, acknowledged ${figures.acknowledged} (${figures.kept} as written or durable), ` +
        `without answer ${figures.unknown}`,
      `in the log ${this.checker.storedCount}, delivered ${figures.delivered}, topics ${this.topics.length}, ` +
        `longest start ${this.startMsMax} ms`,
      this.messaging.text,
      ...anomalies.map((one) => `  ANOMALY ${one}`),
      ...faults.map((one) => `  FAULT ${one}`),
    ].join('\n');
    return {
      ok,
      text,
      kills: this.kills,
      seed: this.options.seed,
      sent: figures.sent,
      acknowledged: figures.acknowledged,
      keptAcks: figures.kept,
      unanswered: figures.unknown,
      stored: this.checker.storedCount,
      delivered: figures.delivered,
      startMsMax: this.startMsMax,
      seconds,
      anomalies,
      faults,
    };
  }
}

/** How busy the machine is: on one that is overloaded nothing is as quick as it must be. */
function load(): string {
  return ` (load ${loadavg()[0].toFixed(1)} on ${availableParallelism()} cores)`;
}
