// One chart of the last two minutes, with the figures of the moment (or of the moment under the pointer) in its head.
// The pointer moves over all charts together.
import uPlot from 'uplot';
import { cssColor, make, setText } from './elements.ts';
import type { Figures } from './figures.ts';
import { clock, NO_FIGURE, withoutZeros } from './format.ts';

export interface Line {
  readonly label: string;
  /** CSS variable. */
  readonly color: string;
  readonly value: (figures: Figures) => number | undefined;
}

export interface ChartOptions {
  /** Where the chart is drawn; its figures go into the element with class `figures` beside it. */
  readonly card: HTMLElement;
  readonly lines: readonly Line[];
  /** For the head. */
  readonly format: (value: number) => string;
  /** For the axis, where room is scarce. Default: format. */
  readonly axisFormat?: (value: number) => string;
  /** The upper end of the axis is never below this. */
  readonly leastTop: number;
  /** The upper end of the axis, where it is known: 100 %, the machine's memory. */
  readonly top?: (figures: Figures) => number | undefined;
  /** Hears which figures the head shows. */
  readonly onShown?: (figures: Figures) => void;
}

export const WINDOW_S = 120;
/** Seconds without figures that are shown as a hole. */
const HOLE_S = 3;
const SYNC_KEY = 'time';
const AXIS_WIDTH = 58;
const AXIS_HEIGHT = 22;
const FONT = '11px ui-monospace, SFMono-Regular, Menlo, Consolas, "Liberation Mono", monospace';
const TICKS_S = [-120, -90, -60, -30, 0];
const FEW_TICKS_S = [-120, -60, 0];
/** Narrower charts have fewer ticks. */
const NARROW = 420;
const HEADROOM = 1.08;

export class Chart {
  private readonly options: ChartOptions;
  private readonly host: HTMLElement;
  private readonly values: readonly HTMLElement[];
  private readonly plot: uPlot;
  /** The figures behind each point; undefined in holes. */
  private points: (Figures | undefined)[] = [];
  private top = 0;

  constructor(options: ChartOptions) {
    this.options = options;
    this.host = find(options.card, '.plot');
    this.values = options.lines.map((line) => valueIn(find(options.card, '.figures'), line));
    this.top = options.leastTop;
    this.plot = new uPlot(this.plotOptions(), emptyData(options.lines.length), this.host);
    new ResizeObserver(() => this.fit()).observe(this.host);
  }

  /** Shows a history, oldest first. */
  show(history: readonly Figures[]): void {
    const { options } = this;
    const times: number[] = [];
    this.points = [];
    for (const figures of history) {
      const time = figures.at / 1000;
      const last = times.at(-1);
      if (last !== undefined && time - last > HOLE_S) this.point(times, last + 1, undefined);
      this.point(times, time, figures);
    }
    const columns = options.lines.map((line) => this.points.map((one) => (one ? (line.value(one) ?? null) : null)));
    this.top = this.topOf(columns, history.at(-1));
    this.plot.setData([times, ...columns]);
    this.head();
  }

  /** The colour scheme has changed. */
  recolor(): void {
    this.plot.redraw(false, true);
  }

  private point(times: number[], time: number, figures: Figures | undefined): void {
    times.push(time);
    this.points.push(figures);
  }

  private topOf(columns: readonly (number | null)[][], latest: Figures | undefined): number {
    const known = latest && this.options.top?.(latest);
    if (known !== undefined) return known;
    let most = 0;
    for (const column of columns) for (const value of column) if (value !== null && value > most) most = value;
    return Math.max(most * HEADROOM, this.options.leastTop);
  }

  /** Figures under the pointer, or the newest. */
  private head(): void {
    const index = this.plot.cursor.idx;
    const pointed = typeof index === 'number' ? this.points[index] : undefined;
    const figures = pointed ?? this.points.at(-1);
    if (!figures) return;
    this.options.lines.forEach((line, i) => {
      const value = line.value(figures);
      setText(this.values[i], value === undefined ? NO_FIGURE : this.options.format(value));
    });
    this.options.card.classList.toggle('past', pointed !== undefined);
    setText(find(this.options.card, '.at'), pointed ? clock(pointed.at) : '');
    this.options.onShown?.(figures);
  }

  private fit(): void {
    const { clientWidth: width, clientHeight: height } = this.host;
    if (width > 0 && height > 0) this.plot.setSize({ width, height });
  }

  private plotOptions(): uPlot.Options {
    const { lines } = this.options;
    return {
      width: Math.max(this.host.clientWidth, 100),
      height: Math.max(this.host.clientHeight, 60),
      padding: [6, 14, 0, 0],
      legend: { show: false },
      cursor: {
        y: false,
        drag: { x: false, y: false, setScale: false },
        sync: { key: SYNC_KEY },
        points: { size: 7, width: 0, fill: (_, series) => cssColor(lines[series - 1].color) },
      },
      scales: {
        x: { time: true, range: (_, from, to) => [(to ?? from ?? 0) - WINDOW_S, to ?? 0] },
        y: { range: () => [0, this.top] },
      },
      axes: this.axes(),
      series: [{}, ...lines.map(seriesOf)],
      hooks: { setCursor: [() => this.head()] },
    };
  }

  private ticks(): readonly number[] {
    return this.host.clientWidth < NARROW ? FEW_TICKS_S : TICKS_S;
  }

  private axes(): uPlot.Axis[] {
    const format = this.options.axisFormat ?? this.options.format;
    const muted = (): string => cssColor('--muted');
    const grid = { stroke: () => cssColor('--grid'), width: 1 };
    return [
      {
        stroke: muted,
        font: FONT,
        size: AXIS_HEIGHT,
        gap: 4,
        grid: { show: false },
        ticks: { show: false },
        splits: (u) => this.ticks().map((seconds) => (u.scales.x.max ?? 0) + seconds),
        values: () => this.ticks().map((seconds) => (seconds === 0 ? 'now' : `${seconds} s`)),
      },
      {
        stroke: muted,
        font: FONT,
        size: AXIS_WIDTH,
        gap: 4,
        grid,
        ticks: { show: false },
        space: 34,
        ...(this.options.top ? { splits: () => [0, this.top / 2, this.top] } : {}),
        values: (_, splits) => splits.map((value) => withoutZeros(format(value))),
      },
    ];
  }
}

function seriesOf(line: Line): uPlot.Series {
  return {
    label: line.label,
    stroke: () => cssColor(line.color),
    fill: () => `${cssColor(line.color)}1c`,
    width: 1.5,
    points: { show: false },
  };
}

/** Label and value of one line in the head of a chart. */
function valueIn(list: HTMLElement, line: Line): HTMLElement {
  const dot = make('span', 'dot');
  dot.style.setProperty('background', `var(${line.color})`);
  const value = make('dd', 'value', NO_FIGURE);
  list.append(make('div', 'figure', make('dt', '', dot, line.label), value));
  return value;
}

function emptyData(lines: number): uPlot.AlignedData {
  return [[], ...Array.from({ length: lines }, () => [])] as unknown as uPlot.AlignedData;
}

function find(card: HTMLElement, selector: string): HTMLElement {
  const found = card.querySelector<HTMLElement>(selector);
  if (!found) throw new Error(`a card has no ${selector}`);
  return found;
}
