// The machine of a simulated run: a clock that moves only when told, event loops with timers of their own, random
// numbers out of the seed. While it is installed nothing in this process that the product looks at is real: neither
// time nor timers nor the operating system's sleep and wake.
//
// The real event loop never turns during a run: turns end when the microtasks have run out (settle()).
import { randomFrom } from '../support/random.ts';
import { Trace } from './trace.ts';

/** Any time will do: offsets in it are whole milliseconds. */
const BEGIN_MS = 1_700_000_000_000;
/** A thread that is woken runs so many milliseconds later at most. */
const WAKE_MS = 3;
const TIMERS_PER_TURN = 64;
const IMMEDIATES_PER_TURN = 8;

interface Timer {
  at: number;
  readonly order: number;
  readonly everyMs: number;
  readonly run: () => void;
}

interface Sleeper {
  readonly thread: EventLoop;
  readonly buffer: ArrayBufferLike;
  readonly index: number;
  readonly timer: Timer;
  readonly wake: (how: string) => void;
}

/** A thread with an event loop: what it has set out to do. */
export class EventLoop {
  readonly name: string;
  readonly timers = new Set<Timer>();
  immediates: (() => void)[] = [];
  ended = false;

  constructor(name: string) {
    this.name = name;
  }

  /** When it has something to do; Infinity: never. */
  dueAt(nowMs: number): number {
    if (this.ended) return Number.POSITIVE_INFINITY;
    if (this.immediates.length > 0) return nowMs;
    let at = Number.POSITIVE_INFINITY;
    for (const timer of this.timers) at = Math.min(at, timer.at);
    return at;
  }

  /** The thread is no more: nothing that it set out to do will happen. */
  end(): void {
    this.ended = true;
    this.timers.clear();
    this.immediates = [];
  }
}

export class World {
  readonly trace: Trace;
  /** 0 to below `n`: the plan's own stream. */
  readonly random: (below: number) => number;
  /** Milliseconds that no jump of the wall clock changes. */
  nowMs = 0;
  /** The latest time that the wall clock has ever shown. */
  latestWallMs = BEGIN_MS;
  /** How often somebody has set the clock. */
  jumps = 0;
  private skewMs = 0;
  private readonly machineRandom: (below: number) => number;
  private current: EventLoop | undefined;
  private readonly sleepers = new Set<Sleeper>();
  private order = 0;

  constructor(seed: number, verbose = false) {
    this.trace = new Trace(verbose);
    this.random = randomFrom(seed);
    this.machineRandom = randomFrom(seed ^ 0x5eed_cafe);
  }

  /** The wall clock: milliseconds since 1970. */
  readonly wallMs = (): number => BEGIN_MS + this.nowMs + this.skewMs;

  /** True `percent` times of a hundred. */
  chance(percent: number): boolean {
    return this.random(10_000) < percent * 100;
  }

  between(low: number, high: number): number {
    return low + this.random(high - low + 1);
  }

  advance(ms: number): void {
    this.nowMs += ms;
    this.latestWallMs = Math.max(this.latestWallMs, this.wallMs());
  }

  /** Somebody sets the clock. */
  jump(ms: number): void {
    this.skewMs += ms;
    this.jumps++;
    this.latestWallMs = Math.max(this.latestWallMs, this.wallMs());
    this.trace.add(`${this.nowMs} clock jumps ${ms}`);
  }

  /** One turn of a thread: `action`, and everything that follows from it without waiting. */
  async turn(thread: EventLoop, action: () => void): Promise<void> {
    this.current = thread;
    try {
      action();
      await settle();
    } finally {
      this.current = undefined;
    }
  }

  /** One turn of a thread's event loop: timers that are due, then immediates. */
  async turnLoop(thread: EventLoop): Promise<void> {
    const due = [...thread.timers].filter((one) => one.at <= this.nowMs);
    due.sort((a, b) => a.at - b.at || a.order - b.order);
    for (const timer of due.slice(0, TIMERS_PER_TURN)) {
      if (!thread.timers.has(timer)) continue;
      if (timer.everyMs > 0) timer.at = this.nowMs + timer.everyMs;
      else thread.timers.delete(timer);
      await this.turn(thread, timer.run);
    }
    const immediates = thread.immediates.splice(0, IMMEDIATES_PER_TURN);
    for (const run of immediates) await this.turn(thread, run);
  }

  /** Has a thread do something later. */
  later(thread: EventLoop, delayMs: number, run: () => void): Timer {
    const timer = { at: this.nowMs + Math.max(0, delayMs), order: this.order++, everyMs: 0, run };
    if (!thread.ended) thread.timers.add(timer);
    return timer;
  }

  /** Puts the simulated machine in the place of the real one. Returns the call that takes it away. */
  install(): () => void {
    const undo = [
      ...this.replaceTimers(),
      replace(Date, 'now', this.wallMs),
      replace(performance, 'now', () => this.nowMs),
      replace(Math, 'random', () => this.machineRandom(2 ** 30) / 2 ** 30),
      replace(crypto, 'getRandomValues', this.fillRandom as typeof crypto.getRandomValues),
      replace(Atomics, 'waitAsync', this.waitAsync as unknown as typeof Atomics.waitAsync),
      replace(Atomics, 'notify', this.notify as typeof Atomics.notify),
    ];
    return () => {
      for (const one of undo.reverse()) one();
    };
  }

  private replaceTimers(): (() => void)[] {
    const forget = (handle: unknown): void => void (handle as Handle | undefined)?.cancel?.();
    return [
      replace(globalThis, 'setTimeout', this.setTimeout as unknown as typeof setTimeout),
      replace(globalThis, 'setInterval', this.setInterval as unknown as typeof setInterval),
      replace(globalThis, 'setImmediate', this.setImmediate as unknown as typeof setImmediate),
      replace(globalThis, 'clearTimeout', forget),
      replace(globalThis, 'clearInterval', forget),
      replace(globalThis, 'clearImmediate', forget),
    ];
  }

  /** Whose turn it is. */
  get thread(): EventLoop {
    if (!this.current) throw new Error('a timer was set outside every simulated thread');
    return this.current;
  }

  private readonly setTimeout = (run: (...args: unknown[]) => void, ms = 1, ...args: unknown[]): Handle => {
    const { thread } = this;
    return new Handle(
      thread,
      this.later(thread, Math.max(1, Math.floor(ms)), () => run(...args)),
    );
  };

  private readonly setInterval = (run: (...args: unknown[]) => void, ms = 1, ...args: unknown[]): Handle => {
    const { thread } = this;
    const everyMs = Math.max(1, Math.floor(ms));
    const timer = { at: this.nowMs + everyMs, order: this.order++, everyMs, run: () => run(...args) };
    if (!thread.ended) thread.timers.add(timer);
    return new Handle(thread, timer);
  };

  private readonly setImmediate = (run: (...args: unknown[]) => void, ...args: unknown[]): unknown => {
    const { thread } = this;
    const task = (): void => run(...args);
    if (!thread.ended) thread.immediates.push(task);
    const cancel = (): void => {
      thread.immediates = thread.immediates.filter((one) => one !== task);
    };
    const handle = { ref: () => handle, unref: () => handle, cancel };
    return handle;
  };

  private readonly fillRandom = (array: Uint32Array): Uint32Array => {
    for (let i = 0; i < array.length; i++) array[i] = this.machineRandom(2 ** 30);
    return array;
  };

  private readonly waitAsync = (words: Int32Array, index: number, value: number, timeoutMs: number) => {
    if (Atomics.load(words, index) !== value) return { async: false, value: 'not-equal' };
    const { thread } = this;
    const promise = new Promise<string>((resolve) => {
      const timer = this.later(thread, timeoutMs, () => {
        this.sleepers.delete(sleeper);
        resolve('timed-out');
      });
      const sleeper: Sleeper = { thread, buffer: words.buffer, index, timer, wake: resolve };
      this.sleepers.add(sleeper);
    });
    return { async: true, value: promise };
  };

  private readonly notify = (words: Int32Array, index: number): number => {
    let woken = 0;
    for (const sleeper of this.sleepers) {
      if (sleeper.buffer !== words.buffer || sleeper.index !== index) continue;
      this.sleepers.delete(sleeper);
      sleeper.thread.timers.delete(sleeper.timer);
      this.later(sleeper.thread, this.machineRandom(WAKE_MS + 1), () => sleeper.wake('ok'));
      woken++;
    }
    return woken;
  };
}

/** What setTimeout() returns. */
class Handle {
  private readonly thread: EventLoop;
  private readonly timer: Timer;

  constructor(thread: EventLoop, timer: Timer) {
    this.thread = thread;
    this.timer = timer;
  }

  ref(): this {
    return this;
  }

  unref(): this {
    return this;
  }

  cancel(): void {
    this.thread.timers.delete(this.timer);
  }
}

/**
 * Resolves when no microtask is left: ticks come after all of them, and the event loop does not turn in between.
 */
function settle(): Promise<void> {
  return new Promise((resolve) => process.nextTick(resolve));
}

function replace<T extends object, K extends keyof T>(target: T, key: K, value: T[K]): () => void {
  const before = Object.getOwnPropertyDescriptor(target, key);
  Object.defineProperty(target, key, { value, configurable: true, writable: true });
  return () => {
    if (before) Object.defineProperty(target, key, before);
    else delete target[key];
  };
}
