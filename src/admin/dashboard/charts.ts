// The charts of the page, and the tiles beside them: what of the figures is shown where.
import type { StoreSample } from '../system-metrics.ts';
import { Chart, type Line } from './chart.ts';
import { byId, make, setText } from './elements.ts';
import { type Figures, threadRoles, threadsAlive } from './figures.ts';
import { binaryBytes, bytes, compact, count, duration, percent } from './format.ts';

const PER_SECOND_MIN = 10;
const BYTES_TOP_MIN = 10_000;
const FULL = 100;

export class Charts {
  private readonly charts: readonly Chart[];
  private readonly cores = byId('cores');

  constructor() {
    this.charts = [...brokerCharts(), ...this.hostCharts()];
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => {
      for (const one of this.charts) one.recolor();
    });
  }

  show(history: readonly Figures[]): void {
    for (const one of this.charts) one.show(history);
    const latest = history.at(-1);
    if (latest) showTiles(latest);
  }

  private hostCharts(): Chart[] {
    const cpu = [line('all cores', '--cpu', (f) => f.cpu.busy), line('broker', '--out', processPercent)];
    const memory = [line('used', '--memory', usedBytes), line('broker', '--out', (f) => f.memory.rssBytes)];
    const network = [
      line('received', '--in', (f) => f.network?.rxBytesPerS),
      line('sent', '--out', (f) => f.network?.txBytesPerS),
    ];
    const loop = [line('front end', '--cpu', (f) => f.eventLoop.utilization * FULL)];
    return [
      chart('cpu', cpu, {
        format: percent,
        leastTop: FULL,
        top: () => FULL,
        onShown: (f) => this.showCores(f.cpu.cores),
      }),
      chart('memory', memory, { format: binaryBytes, leastTop: 1, top: (f) => f.memory.totalBytes }),
      chart('network', network, { format: perSecond, axisFormat: bytes, leastTop: BYTES_TOP_MIN }),
      chart('loop', loop, { format: percent, leastTop: FULL, top: () => FULL }),
    ];
  }

  /** A bar for every core. */
  private showCores(percents: readonly number[]): void {
    while (this.cores.childElementCount > percents.length) this.cores.lastElementChild?.remove();
    while (this.cores.childElementCount < percents.length) this.cores.append(make('li', '', make('span', 'bar')));
    percents.forEach((value, i) => {
      const item = this.cores.children[i] as HTMLElement;
      item.style.setProperty('--level', `${Math.min(FULL, Math.max(0, value))}%`);
      item.title = `core ${i}: ${percent(value)}`;
    });
    this.cores.setAttribute('aria-label', `Load of ${percents.length} cores: ${percents.map(percent).join(', ')}`);
  }
}

function brokerCharts(): Chart[] {
  const messages = [line('in', '--in', (f) => f.rates.messagesIn), line('out', '--out', (f) => f.rates.messagesOut)];
  const traffic = [line('in', '--in', (f) => f.rates.bytesIn), line('out', '--out', (f) => f.rates.bytesOut)];
  return [
    chart('throughput', messages, { format: count, axisFormat: compact, leastTop: PER_SECOND_MIN }),
    chart('traffic', traffic, { format: perSecond, axisFormat: bytes, leastTop: BYTES_TOP_MIN }),
  ];
}

function showTiles(figures: Figures): void {
  const { broker, rates, totals, connections, partitions, cpu, uptimeS } = figures;
  // Worth seeing when this is one tab of many.
  document.title = `${count(rates.messagesIn)}/s in · ringmq`;
  tile('tile-messages-in', count(totals.messagesIn));
  tile('tile-messages-out', count(totals.messagesOut));
  tile('tile-connections', count(connections));
  tile('tile-topics', count(partitions.topics));
  tile('tile-partitions', `${count(partitions.partitions)} partitions`);
  tile('tile-threads', `${threadsAlive(figures)} of ${figures.seats.length}`);
  tile('tile-roles', threadRoles(figures));
  byId('tile-roles').title = threadRoles(figures);
  tile('tile-rings', binaryBytes(partitions.ringUsedBytes));
  tile('tile-ring-bytes', `of ${binaryBytes(partitions.ringBytes)}`);
  showStore(figures);
  tile('tile-load', cpu.load.map((one) => one.toFixed(2)).join(' '));
  tile('broker-name', broker.name);
  tile('broker-version', broker.version);
  tile('broker-transport', broker.transport);
  tile('broker-node', broker.node);
  tile('broker-uptime', duration(uptimeS * 1000));
}

function showStore({ store }: Figures): void {
  const state = store?.state ?? 'off';
  byId('tile-store').dataset.state = state;
  tile('tile-store', state);
  tile('tile-log', store ? storeText(store) : 'messages are in memory only');
  byId('tile-log').title = store ? `log positions: ${positionsText(store)}` : '';
}

function storeText({ logBytes, writtenBytesPerS, commitsPerS, damagedRuns }: StoreSample): string {
  const damage = damagedRuns > 0 ? ` · ${count(damagedRuns)} damaged` : '';
  return `${bytes(logBytes)} of log · ${perSecond(writtenBytesPerS)} · ${count(commitsPerS)} commits/s${damage}`;
}

function positionsText({ oldestPosition, durablePosition, writtenPosition, indexedPosition }: StoreSample): string {
  const rest = `written ${count(writtenPosition)}, keys indexed ${count(indexedPosition)}`;
  return `oldest ${count(oldestPosition)}, durable ${count(durablePosition)}, ${rest}`;
}

function tile(id: string, text: string): void {
  setText(byId(id), text);
}

function line(label: string, color: string, value: Line['value']): Line {
  return { label, color, value };
}

type ChartRest = Omit<ConstructorParameters<typeof Chart>[0], 'card' | 'lines'>;

function chart(id: string, lines: readonly Line[], rest: ChartRest): Chart {
  return new Chart({ card: byId(`card-${id}`), lines, ...rest });
}

function usedBytes({ memory }: Figures): number {
  return memory.totalBytes - memory.freeBytes;
}

/** Of all cores together, to be compared with the whole machine. */
function processPercent({ cpu }: Figures): number {
  return cpu.process / Math.max(1, cpu.cores.length);
}

function perSecond(value: number): string {
  return `${bytes(value)}/s`;
}
