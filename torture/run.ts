// One run: the plan of kills, the lives of the server between them, and the report.
import { CRASH_POINTS, type CrashPoint } from '../src/log/crash-point.ts';
import { Audit } from './audit.ts';
import { Checker } from './checker.ts';
import { Load } from './load.ts';
import { Messaging } from './messaging.ts';
import { Server } from './server.ts';
import { pause } from './topic-reader.ts';

export interface RunOptions {
  readonly kills: number;
  readonly seed: number;
  readonly folder: string;
  readonly port: number;
  readonly serveArgs: readonly string[];
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
/** From the start of a server to its end: what takes longer stood still somewhere, and clients with it. */
const LIFE_MAX_MS = 30_000;
const FAULTS_SHOWN = 20;

/** Nothing is old enough to be removed here: unit tests stop retention at every step. */
const POINTS = CRASH_POINTS.filter((point) => point !== 'log.retained');

/** Where in the code and how often it passes there: rare places at once, busy ones after a while. */
const POINT_COUNTS: Partial<Record<CrashPoint, number>> = {
  'broker.appended': 200,
  'broker.released': 200,
  'store.staged': 60,
  'store.torn-write': 60,
  'store.written': 60,
  'store.noticed': 60,
  'state.offsets-committed': 5,
  'journal.appended': 200,
  'journal.synced': 40,
  'journal.snapshot-written': 2,
  'journal.snapshot-named': 2,
  'move.intended': 60,
  'move.published': 60,
  'move.done': 40,
  'lease.written': 20,
  'timer.stored': 20,
  'timer.recalled': 10,
  'timer.bucket-written': 40,
  'timer.bucket-synced': 2,
  'timer.checkpointed': 2,
  'transaction.prepared': 20,
  'transaction.checked': 2,
};

export class Run {
  private readonly options: RunOptions;
  private readonly say: (text: string) => void;
  private readonly checker = new Checker();
  private readonly audit = new Audit(this.checker);
  private readonly load: Load;
  private readonly messaging: Messaging;
  /** Places, in the order in which their turn comes. */
  private readonly points: readonly CrashPoint[];
  private readonly topics = [...TOPICS];
  private readonly kills: Record<string, number> = {};
  private readonly faults: string[] = [];
  private readonly random: () => number;
  private startMsMax = 0;

  constructor(options: RunOptions, say: (text: string) => void) {
    this.options = options;
    this.say = say;
    this.random = mulberry(options.seed);
    const url = `ws://127.0.0.1:${options.port}`;
    this.load = new Load({ url, topics: this.topics, producersPerTopic: 3 }, this.checker);
    this.messaging = new Messaging(url);
    this.points = shuffled(POINTS, this.random);
  }

  async run(): Promise<Report> {
    const began = Date.now();
    this.load.start();
    this.messaging.start();
    for (let kill = 1; kill <= this.options.kills; kill++) {
      const point = kill % 2 === 0 ? this.points[(kill / 2) % POINTS.length] : undefined;
      const how = await this.life(kill, point);
      this.kills[how] = (this.kills[how] ?? 0) + 1;
      this.say(`kill ${kill}/${this.options.kills}: ${how}; ${this.load.figures.kept} kept acks so far`);
      if (this.checker.anomalies.length + this.messaging.anomalies.length > 0) break;
    }
    await this.lastLife();
    this.checker.finish();
    return this.report(Math.round((Date.now() - began) / 1000));
  }

  /** Starts the server, lets it work, kills it. Says how it died. */
  private async life(number: number, point: CrashPoint | undefined): Promise<string> {
    const began = Date.now();
    const crash = point && `${point}:${1 + Math.floor(this.random() * (POINT_COUNTS[point] ?? 1))}`;
    const server = this.start(crash);
    const url = await this.timed(server);
    if (url !== undefined) {
      await this.auditNow(server, url);
      const wanted = number % FRESH_TOPIC_EVERY === 0 || point === 'state.topic-created';
      if (wanted && this.topics.length < TOPICS.length + FRESH_TOPICS_MAX) this.freshTopic();
      if (point) await Promise.race([server.ended, pause(POINT_MAX_MS)]);
      else await Promise.race([server.ended, pause(LIFE_MIN_MS + this.random() * LIFE_SPAN_MS)]);
    }
    const itself = !server.alive;
    if (itself && point === undefined) this.faults.push(`the server ended by itself: ${server.lastWords}`);
    server.kill();
    const how = await server.ended;
    const tookMs = Date.now() - began;
    if (server.hung) return 'in a start that hung';
    if (tookMs > LIFE_MAX_MS) this.faults.push(`life ${number} took ${tookMs} ms: something in it stood still`);
    if (itself && how !== 'SIGKILL') this.faults.push(`the server ended with ${how}: ${server.lastWords}`);
    return itself && point ? `at ${point}` : 'at a random moment';
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

  private start(crash: string | undefined): Server {
    const { folder, port, serveArgs } = this.options;
    return new Server({ folder, port, crash, args: [...SERVE_ARGS, ...serveArgs] });
  }

  private async timed(server: Server): Promise<string | undefined> {
    const began = Date.now();
    const url = await server.ready();
    const tookMs = Date.now() - began;
    if (url !== undefined) this.startMsMax = Math.max(this.startMsMax, tookMs);
    if (server.hung) this.faults.push(`a start hung and was ended after ${tookMs} ms: ${server.lastWords}`);
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

function shuffled<T>(all: readonly T[], random: () => number): readonly T[] {
  const left = [...all];
  return all.map(() => left.splice(Math.floor(random() * left.length), 1)[0]);
}

/** mulberry32, 0 to 1. */
function mulberry(seed: number): () => number {
  let state = seed | 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
  };
}
