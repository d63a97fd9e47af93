// The figures of the last two minutes: subscribes to the topic on which the broker publishes them every second. The
// broker keeps the last ones, so that the charts are full at once.
import type { WsConnection } from '../../client/ws-connection.ts';
import { WINDOW_S } from './chart.ts';
import type { Charts } from './charts.ts';
import { type Figures, readFigures } from './figures.ts';
import type { Notices } from './notices.ts';
import { Stream } from './stream.ts';

export const METRICS_TOPIC = 'sys.metrics';
const DOING = `reading ${METRICS_TOPIC}`;

export class Metrics {
  readonly stream: Stream;
  private readonly charts: Charts;
  private readonly notices: Notices;
  private readonly history: Figures[] = [];
  private drawing = false;

  constructor(connection: WsConnection, charts: Charts, notices: Notices) {
    this.charts = charts;
    this.notices = notices;
    this.stream = new Stream(
      connection,
      METRICS_TOPIC,
      { last: WINDOW_S },
      {
        record: (batch) => this.add(readFigures(JSON.parse(batch.text()))),
        gap: () => {},
        ended: (error) => this.ended(error),
        failed: (error) => notices.show(DOING, error),
      },
    );
    this.stream.ready().catch((error: unknown) => this.ended(error));
  }

  private add(figures: Figures): void {
    const { history } = this;
    // Several partitions come one after the other.
    let place = history.length;
    while (place > 0 && history[place - 1].at > figures.at) place--;
    history.splice(place, 0, figures);
    const oldest = (history.at(-1)?.at ?? 0) - WINDOW_S * 1000;
    while (history[0].at < oldest) history.shift();
    if (this.drawing) return;
    this.drawing = true;
    requestAnimationFrame(() => {
      this.drawing = false;
      this.charts.show(this.history);
    });
  }

  private ended(error: unknown): void {
    this.notices.show(`${DOING}: there are no figures`, error);
  }
}
