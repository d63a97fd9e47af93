// Results for people.
import type { Result } from './bench.ts';

const HEAD = ['bench', 'M msg/s', 'spread', 'p50 us', 'p99 us', 'beside', 'M msg/s', 'ratio'];

export function printTable(results: readonly Result[]): void {
  const rows = results.flatMap(rowsOf);
  const widths = HEAD.map((head, column) => Math.max(head.length, ...rows.map((row) => row[column].length)));
  const line = (row: readonly string[]): string =>
    row
      .map((cell, column) =>
        column === 0 || column === 5 ? cell.padEnd(widths[column]) : cell.padStart(widths[column]),
      )
      .join('  ');
  process.stdout.write(`\n${line(HEAD)}\n${widths.map((width) => '-'.repeat(width)).join('  ')}\n`);
  for (const row of rows) process.stdout.write(`${line(row)}\n`);
  const [first] = results;
  if (!first) return;
  for (const result of results) {
    const notes = Object.entries(result.notes).map(([name, value]) => `${name} ${value}`);
    if (notes.length > 0) process.stdout.write(`${result.bench}: ${notes.join(', ')}\n`);
  }
  const runs = `${first.bodyBytes}-byte bodies, median of ${first.runs} runs, all checked`;
  const machine = `${first.cores} cores, ${first.cpu}, Node ${first.node}, commit ${first.commit}`;
  process.stdout.write(`\n${runs}; ${machine}\n`);
}

function rowsOf(result: Result): string[][] {
  const [least, most] = result.spread;
  const peers = result.peers.length > 0 ? result.peers : [undefined];
  return peers.map((peer, i) => [
    i === 0 ? result.bench : '',
    i === 0 ? millions(result.messagesPerSecond) : '',
    i === 0 ? `${millions(least)}-${millions(most)}` : '',
    i === 0 && result.p50Us !== null ? result.p50Us.toFixed(1) : '',
    i === 0 && result.p99Us !== null ? result.p99Us.toFixed(1) : '',
    peer?.name ?? '',
    peer ? millions(peer.messagesPerSecond) : '',
    peer ? `x${(result.messagesPerSecond / peer.messagesPerSecond).toFixed(1)}` : '',
  ]);
}

function millions(rate: number): string {
  return (rate / 1e6).toFixed(rate < 1e6 ? 3 : 2);
}
