// Runs several actors - plain synchronous functions over the real modules - one atomic operation at a time, in any
// order, in one thread.
//
// How a synchronous function is stopped in its middle: before its next atomic operation the shim throws, which unwinds
// the whole function. To go on, the function runs again from its start; what it read and did before is answered from
// its log, the one new operation is real, and the next one throws again. This is sound because (1) an actor is
// deterministic except for what it reads from shared memory, all of which is logged; (2) nothing in src/memory catches
// exceptions; (3) plain accesses are checked for races (memory.ts), so that running them together with the atomic
// operation before them loses no behaviour.
import { Memory, mix, type RegionBytes, type View } from './memory.ts';

export const READY = 0;
export const ASLEEP = 1;
export const DONE = 2;
export const DEAD = 3;

const PARK = Symbol('park');
const LOG_MAX = 2048;
const OK = 1;
const NOT_EQUAL = 2;
const TIMED_OUT_NEVER = 'timed-out';

/** What an actor gets: the regions behind proxies. */
export interface World {
  readonly at: Readonly<Record<string, View>>;
  /** Blocks until the promise that Atomics.waitAsync gave is resolved, as an `await` of it would. */
  until(promise: unknown): void;
}

export interface Actor {
  readonly name: string;
  /** May be killed before any of its atomic operations. */
  readonly mortal?: boolean;
  /** Starts only when the actor of this name was killed, and counts as done if that one was not. */
  readonly after?: string;
  run(world: World): unknown;
}

export interface Scenario {
  readonly name: string;
  readonly regions: RegionBytes;
  readonly actors: readonly Actor[];
  /** Fills the regions (raw) before the actors start. */
  setup?(at: Readonly<Record<string, View>>): void;
  /** Looks at the end of a schedule; throws if it is wrong. Results of killed or unneeded actors are undefined. */
  finish?(at: Readonly<Record<string, View>>, results: readonly unknown[]): void;
  /** Most switches away from an actor that could go on; unlimited if left out. */
  readonly preemptions?: number;
}

interface Waiter {
  readonly word: number;
  readonly actor: number;
  /** Number of the promise, or -1 for a blocked thread. */
  readonly token: number;
}

export class Engine {
  readonly memory: Memory;
  readonly scenario: Scenario;
  readonly status: Int32Array;
  /** Word that the actor's next operation is on; -1 where it is a wait, a wake or an await. */
  readonly pending: Int32Array;
  readonly results: unknown[] = [];
  /** Lines of what happened, kept while tracing. */
  trace: string[] | undefined;
  /** Bit per actor that ever touched a word atomically, on any schedule. */
  readonly touchedBy: Int32Array;
  /** Words that a schedule was cut short for because one actor alone touched them. */
  readonly trustedPrivate: Uint8Array;
  private readonly hashes: Int32Array;
  private readonly logs: Int32Array[];
  private readonly logLength: Int32Array;
  private readonly tokens = new Int32Array(256);
  private readonly tokenCount = new Int32Array(1);
  private readonly sleepToken: Int32Array;
  private waiters: readonly Waiter[] = [];
  private current = 0;
  private cursor = 0;
  private live = false;
  private readonly shim: typeof Atomics;
  private readonly world: World;

  constructor(scenario: Scenario) {
    const count = scenario.actors.length;
    this.scenario = scenario;
    this.memory = new Memory(scenario.regions, count, this);
    this.status = new Int32Array(count);
    this.pending = new Int32Array(count).fill(-1);
    this.hashes = new Int32Array(count * 2);
    this.logs = scenario.actors.map(() => new Int32Array(LOG_MAX));
    this.logLength = new Int32Array(count);
    this.sleepToken = new Int32Array(count).fill(-1);
    this.touchedBy = new Int32Array(this.memory.words.length);
    this.trustedPrivate = new Uint8Array(this.memory.words.length);
    this.shim = this.makeShim();
    this.world = { at: this.memory.shown, until: (promise) => this.until(promise as { token: number }) };
    scenario.setup?.(this.memory.raw);
    for (let actor = 0; actor < count; actor++) if (!scenario.actors[actor].after) this.advance(actor, false);
  }

  mark(): { readonly memory: number; readonly waiters: readonly Waiter[] } {
    return { memory: this.memory.mark(), waiters: this.waiters };
  }

  rollback(mark: { readonly memory: number; readonly waiters: readonly Waiter[] }): void {
    this.memory.rollback(mark.memory);
    this.waiters = mark.waiters;
  }

  /** Executes the actor's next atomic operation and the plain accesses behind it. */
  step(actor: number): void {
    this.advance(actor, true);
  }

  /** Ends the actor's thread where it stands. */
  kill(actor: number): void {
    this.trace?.push(`${this.scenario.actors[actor].name} is killed`);
    this.memory.set(this.status, actor, DEAD);
    this.waiters = this.waiters.filter((waiter) => waiter.actor !== actor);
    this.results[actor] = undefined;
    for (const [index, heir] of this.scenario.actors.entries()) {
      if (heir.after !== this.scenario.actors[actor].name) continue;
      this.memory.order(actor, index);
      this.advance(index, false);
    }
  }

  /** Names the state in 53 bits: what memory holds, what each actor has read so far, who waits, who knows what. */
  key(salt: number): number {
    let low = this.memory.hash(0) ^ salt;
    let high = this.memory.hash(1) + salt;
    for (let i = 0; i < this.status.length; i++) {
      low = mix(low, this.hashes[i * 2] ^ (this.status[i] << 29));
      high = mix(high, this.hashes[i * 2 + 1] + this.status[i]);
    }
    for (const { word, actor, token } of this.waiters) low = mix(low, (word << 8) + (actor << 4) + token);
    for (let token = 0; token < this.tokenCount[0]; token++) high = mix(high, this.tokens[token] + token);
    return (low >>> 0) * 2_097_152 + (high & 2_097_151);
  }

  // Plain accesses: from the log while replaying.
  plainRead(word: number): number {
    if (this.replaying()) return this.logs[this.current][this.cursor++];
    const value = this.memory.plainRead(this.current, word);
    this.digest(this.current, word + 1, value);
    return this.record(value);
  }

  plainWrite(word: number, value: number): void {
    if (this.replaying()) this.cursor++;
    else {
      this.memory.plainWrite(this.current, word, value);
      this.record(0);
    }
  }

  private advance(actor: number, live: boolean): void {
    this.current = actor;
    this.cursor = 0;
    this.live = live;
    const real = globalThis.Atomics;
    globalThis.Atomics = this.shim;
    try {
      this.results[actor] = this.scenario.actors[actor].run(this.world);
      this.memory.set(this.status, actor, DONE);
    } catch (error) {
      if (error !== PARK) throw error;
    } finally {
      globalThis.Atomics = real;
    }
  }

  private replaying(): boolean {
    return this.cursor < this.logLength[this.current];
  }

  private record(value: number): number {
    const length = this.logLength[this.current];
    if (length === LOG_MAX) throw new Error('an actor runs without end');
    this.logs[this.current][length] = value;
    this.memory.set(this.logLength, this.current, length + 1);
    this.cursor = length + 1;
    return value;
  }

  /** Parks unless it is this operation's turn. */
  private arrive(word: number): void {
    if (!this.live) {
      this.memory.set(this.pending, this.current, word);
      throw PARK;
    }
    this.live = false;
    if (word < 0) return;
    this.touchedBy[word] |= 1 << this.current;
  }

  private digest(actor: number, a: number, b: number): void {
    this.memory.set(this.hashes, actor * 2, mix(this.hashes[actor * 2], a * 31 + b));
    this.memory.set(this.hashes, actor * 2 + 1, mix(this.hashes[actor * 2 + 1] ^ 0x5bd1e995, a + b * 131));
  }

  /** One atomic operation: `change` gives the new value or undefined for none. Returns the old value. */
  private atomic(kind: string, array: object, index: number, change: (old: number) => number | undefined): number {
    if (this.replaying()) return this.logs[this.current][this.cursor++];
    const word = this.memory.wordOf(array, index);
    this.arrive(word);
    const blind = kind === 'store';
    const old = blind ? this.memory.words[word] : this.memory.atomicRead(this.current, word);
    const next = change(old);
    if (next !== undefined) this.memory.atomicWrite(this.current, word, next | 0);
    this.digest(this.current, word + 1, blind ? 0 : old);
    if (this.trace) this.traceAtomic(kind, word, old, next);
    return this.record(kind === 'store' ? (next as number) | 0 : old);
  }

  private traceAtomic(kind: string, word: number, old: number, next: number | undefined): void {
    const effect = next === undefined ? `= ${old}` : `${old} -> ${next | 0}`;
    this.trace?.push(`${this.scenario.actors[this.current].name} ${kind} ${this.memory.nameOf(word)} ${effect}`);
  }

  private wait(array: object, index: number, expected: number): string {
    if (this.replaying()) return this.logs[this.current][this.cursor++] === OK ? 'ok' : 'not-equal';
    const word = this.memory.wordOf(array, index);
    this.arrive(-1);
    this.touchedBy[word] = -1;
    const sleeps = this.memory.atomicRead(this.current, word) === expected;
    this.digest(this.current, word + 1, sleeps ? -4 : -5);
    this.trace?.push(`${this.scenario.actors[this.current].name} wait ${this.memory.nameOf(word)}: ${sleeps}`);
    if (!sleeps) {
      this.record(NOT_EQUAL);
      return 'not-equal';
    }
    this.waiters = [...this.waiters, { word, actor: this.current, token: -1 }];
    this.memory.set(this.status, this.current, ASLEEP);
    throw PARK;
  }

  private waitAsync(array: object, index: number, expected: number): { async: boolean; value: unknown } {
    let token: number;
    if (this.replaying()) token = this.logs[this.current][this.cursor++];
    else {
      const word = this.memory.wordOf(array, index);
      this.arrive(-1);
      this.touchedBy[word] = -1;
      token = -1;
      if (this.memory.atomicRead(this.current, word) === expected) {
        token = this.tokenCount[0];
        this.memory.set(this.tokenCount, 0, token + 1);
        this.waiters = [...this.waiters, { word, actor: this.current, token }];
      }
      this.digest(this.current, word + 1, token);
      this.record(token);
    }
    return token < 0 ? { async: false, value: 'not-equal' } : { async: true, value: { token } };
  }

  private until(promise: { token: number }): void {
    if (this.replaying()) {
      this.cursor++;
      return;
    }
    this.arrive(-1);
    if (this.tokens[promise.token] !== 0) {
      this.digest(this.current, -2, 1);
      this.record(OK);
      return;
    }
    this.memory.set(this.sleepToken, this.current, promise.token);
    this.memory.set(this.status, this.current, ASLEEP);
    this.digest(this.current, -2, 0);
    throw PARK;
  }

  private notify(array: object, index: number, count = Number.POSITIVE_INFINITY): number {
    if (this.replaying()) return this.logs[this.current][this.cursor++];
    const word = this.memory.wordOf(array, index);
    this.arrive(-1);
    this.touchedBy[word] = -1;
    const woken = this.waiters.filter((waiter) => waiter.word === word).slice(0, count);
    this.waiters = this.waiters.filter((waiter) => !woken.includes(waiter));
    this.trace?.push(`${this.scenario.actors[this.current].name} notify ${this.memory.nameOf(word)}: ${woken.length}`);
    for (const waiter of woken) this.wake(waiter);
    this.digest(this.current, word + 1, woken.length);
    return this.record(woken.length);
  }

  private wake(waiter: Waiter): void {
    const { actor, token } = waiter;
    if (token >= 0) this.memory.set(this.tokens, token, 1);
    if (token >= 0 && this.sleepToken[actor] !== token) return;
    this.memory.set(this.sleepToken, actor, -1);
    this.memory.set(this.status, actor, READY);
    this.digest(actor, -3, token);
    const length = this.logLength[actor];
    this.logs[actor][length] = OK;
    this.memory.set(this.logLength, actor, length + 1);
    // It goes on to its next operation, which may come at any time from now on; what is plain before it, now.
    const { current, cursor, live } = this;
    this.advance(actor, false);
    Object.assign(this, { current, cursor, live });
  }

  private makeShim(): typeof Atomics {
    const shim = {
      load: (a: object, i: number) => this.atomic('load', a, i, () => undefined),
      store: (a: object, i: number, value: number) => this.atomic('store', a, i, () => value),
      add: (a: object, i: number, value: number) => this.atomic('add', a, i, (old) => old + value),
      sub: (a: object, i: number, value: number) => this.atomic('sub', a, i, (old) => old - value),
      and: (a: object, i: number, value: number) => this.atomic('and', a, i, (old) => old & value),
      or: (a: object, i: number, value: number) => this.atomic('or', a, i, (old) => old | value),
      exchange: (a: object, i: number, value: number) => this.atomic('exchange', a, i, () => value),
      compareExchange: (a: object, i: number, expected: number, value: number) =>
        this.atomic('swap', a, i, (old) => (old === (expected | 0) ? value : undefined)),
      wait: (a: object, i: number, expected: number) => this.wait(a, i, expected) ?? TIMED_OUT_NEVER,
      waitAsync: (a: object, i: number, expected: number) => this.waitAsync(a, i, expected),
      notify: (a: object, i: number, count?: number) => this.notify(a, i, count),
    };
    return shim as unknown as typeof Atomics;
  }
}
