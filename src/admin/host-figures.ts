// The machine and this process: processors, memory, network, event loop. Rates are differences between two calls.
//
// The system gives some of it in files, and a process may have none left to open: then the last figures stand.
import { readFileSync } from 'node:fs';
import os from 'node:os';
import { type EventLoopUtilization, performance } from 'node:perf_hooks';

export interface HostFigures {
  readonly cpu: {
    /** Percent of each processor that was busy since the last call. */
    readonly cores: readonly number[];
    /** The same for all of them together. */
    readonly busy: number;
    /** Load averages of 1, 5 and 15 minutes; zeros where the system has none. */
    readonly load: readonly number[];
    /** Percent of one processor that this process used since the last call, all its threads together. */
    readonly process: number;
  };
  readonly memory: {
    readonly totalBytes: number;
    readonly freeBytes: number;
    readonly rssBytes: number;
    readonly heapUsedBytes: number;
  };
  /** Bytes a second over all interfaces besides loopback; undefined where the system does not say. */
  readonly network: { readonly rxBytesPerS: number; readonly txBytesPerS: number } | undefined;
  /** Part of the time (0 to 1) that this thread's event loop was busy since the last call. */
  readonly eventLoop: { readonly utilization: number };
}

/** Where the figures come from, for tests. */
export interface HostSources {
  readonly cpus: () => readonly { readonly times: Readonly<Record<string, number>> }[];
  /** Text of /proc/net/dev; undefined where there is none. */
  readonly netDev: () => string | undefined;
}

const SYSTEM: HostSources = { cpus: os.cpus, netDev: readNetDev };
const RX_BYTES = 0;
const TX_BYTES = 8;

export class HostMeter {
  private readonly sources: HostSources;
  private cores: readonly { readonly idle: number; readonly total: number }[] = [];
  private memory: { readonly rss: number; readonly heapUsed: number } = { rss: 0, heapUsed: 0 };
  private net: { readonly rx: number; readonly tx: number } | undefined;
  private loop: EventLoopUtilization;
  private usage = process.cpuUsage();
  private at: number;

  constructor(nowMs: number, sources: HostSources = SYSTEM) {
    this.sources = sources;
    this.cores = this.coreTimes();
    this.net = this.netTotals();
    this.loop = performance.eventLoopUtilization();
    this.at = nowMs;
  }

  /** Figures since the last call (or since it was made). */
  read(nowMs: number): HostFigures {
    const seconds = Math.max(nowMs - this.at, 1) / 1_000;
    this.at = nowMs;
    this.memory = orLast(() => process.memoryUsage(), this.memory);
    const { rss, heapUsed } = this.memory;
    return {
      cpu: { ...this.readCores(), load: os.loadavg().map(rounded), process: this.readUsage(seconds) },
      memory: { totalBytes: os.totalmem(), freeBytes: os.freemem(), rssBytes: rss, heapUsedBytes: heapUsed },
      network: this.readNet(seconds),
      eventLoop: { utilization: this.readLoop() },
    };
  }

  private readCores(): { readonly cores: readonly number[]; readonly busy: number } {
    const before = this.cores;
    this.cores = this.coreTimes();
    let idle = 0;
    let total = 0;
    const cores = this.cores.map((core, i) => {
      const was = before[i] ?? { idle: 0, total: 0 };
      idle += core.idle - was.idle;
      total += core.total - was.total;
      return percent(core.idle - was.idle, core.total - was.total);
    });
    return { cores, busy: percent(idle, total) };
  }

  private readUsage(seconds: number): number {
    const { user, system } = process.cpuUsage(this.usage);
    this.usage = process.cpuUsage();
    return rounded((user + system) / seconds / 10_000);
  }

  private readNet(seconds: number): HostFigures['network'] {
    const before = this.net;
    this.net = this.netTotals();
    if (!before || !this.net) return undefined;
    return {
      rxBytesPerS: Math.max(0, Math.round((this.net.rx - before.rx) / seconds)),
      txBytesPerS: Math.max(0, Math.round((this.net.tx - before.tx) / seconds)),
    };
  }

  private readLoop(): number {
    const now = performance.eventLoopUtilization();
    const { utilization } = performance.eventLoopUtilization(now, this.loop);
    this.loop = now;
    return rounded(utilization);
  }

  private coreTimes(): readonly { readonly idle: number; readonly total: number }[] {
    return orLast(
      () =>
        this.sources.cpus().map(({ times }) => {
          return { idle: times.idle, total: Object.values(times).reduce((sum, time) => sum + time, 0) };
        }),
      this.cores,
    );
  }

  private netTotals(): { readonly rx: number; readonly tx: number } | undefined {
    const text = this.sources.netDev();
    if (text === undefined) return undefined;
    let rx = 0;
    let tx = 0;
    for (const line of text.split('\n')) {
      const [name, counts] = line.split(':');
      if (counts === undefined || name.trim() === 'lo') continue;
      const numbers = counts.trim().split(/\s+/).map(Number);
      rx += numbers[RX_BYTES] || 0;
      tx += numbers[TX_BYTES] || 0;
    }
    return { rx, tx };
  }
}

function readNetDev(): string | undefined {
  try {
    return readFileSync('/proc/net/dev', 'utf8');
  } catch {
    return undefined;
  }
}

function orLast<T>(read: () => T, last: T): T {
  try {
    return read();
  } catch {
    return last;
  }
}

/** What is not idle. */
function percent(idle: number, total: number): number {
  return total <= 0 ? 0 : rounded(Math.min(100, Math.max(0, 100 - (idle / total) * 100)));
}

function rounded(value: number): number {
  return Math.round(value * 100) / 100;
}
