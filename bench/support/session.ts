// Runs benches side by side with their peers and makes the results.
import { type ExecFileSyncOptionsWithStringEncoding, execFileSync } from 'node:child_process';
import { availableParallelism, cpus } from 'node:os';
import {
  type Bench,
  type Contestant,
  type Measured,
  median,
  type PeerResult,
  type Result,
  type Scale,
} from './bench.ts';

/** Measures a bench and its peers in turn, so that all of them meet the same moods of the machine. */
export async function runBench(bench: Bench, scale: Scale, say: (text: string) => void): Promise<Result> {
  const peersHere = bench.peers.filter((peer) => {
    const why = peer.missing?.();
    if (why !== undefined) say(`${peer.name}: not measured, ${why}`);
    return why === undefined;
  });
  const contestants: Contestant[] = [bench, ...peersHere];
  const runs = new Map<Contestant, Measured[]>(contestants.map((one) => [one, []]));
  const times = Math.min(scale.runs, bench.runsMax ?? scale.runs);
  for (let run = 0; run < times; run++) {
    for (const one of contestants) {
      const measured = await one.measure(scale);
      runs.get(one)?.push(measured);
      say(`${one.name} ${run + 1}/${times}: ${describe(measured)}`);
    }
  }
  const own = runs.get(bench) as Measured[];
  const peers = peersHere.map((peer) => ({ name: peer.name, messagesPerSecond: medianRate(runs.get(peer) ?? []) }));
  return makeResult(bench, own, peers, scale);
}

function makeResult(bench: Bench, own: readonly Measured[], peers: readonly PeerResult[], scale: Scale): Result {
  const rates = own.map((one) => one.messagesPerSecond);
  const rate = median(rates);
  const middle = own.find((one) => one.messagesPerSecond === rate) ?? own[0];
  const latency = (name: 'p50Us' | 'p99Us' | 'p999Us' | 'maxUs'): number | null => {
    const values = own.map((one) => one.latency?.[name]).filter((one) => one !== undefined);
    return values.length === 0 ? null : round(median(values));
  };
  const baseline = peers[0] ?? null;
  return {
    bench: bench.name,
    messagesPerSecond: Math.round(rate),
    spread: [Math.round(Math.min(...rates)), Math.round(Math.max(...rates))],
    p50Us: latency('p50Us'),
    p99Us: latency('p99Us'),
    p999Us: latency('p999Us'),
    maxUs: latency('maxUs'),
    bodyBytes: scale.bodyBytes,
    runs: own.length,
    baseline,
    ratio: baseline ? round(rate / baseline.messagesPerSecond) : null,
    peers,
    checked: true,
    notes: middle.notes ?? {},
    cores: availableParallelism(),
    node: process.version,
    cpu: cpus()[0]?.model.trim() ?? 'unknown',
    commit: commit(),
  };
}

function medianRate(runs: readonly Measured[]): number {
  return Math.round(median(runs.map((one) => one.messagesPerSecond)));
}

function describe(measured: Measured): string {
  const rate = `${(measured.messagesPerSecond / 1e6).toFixed(3)} M/s`;
  const { latency } = measured;
  return latency ? `${rate}, p50 ${latency.p50Us.toFixed(1)} us, p99 ${latency.p99Us.toFixed(1)} us` : rate;
}

function round(value: number): number {
  return Math.round(value * 100) / 100;
}

function commit(): string {
  try {
    const options: ExecFileSyncOptionsWithStringEncoding = { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] };
    const head = execFileSync('git', ['rev-parse', '--short', 'HEAD'], options).trim();
    return execFileSync('git', ['status', '--porcelain', '-uno'], options).trim() === '' ? head : `${head}+`;
  } catch {
    return 'unknown';
  }
}
