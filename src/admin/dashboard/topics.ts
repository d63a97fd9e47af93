// The table of topics: what there is, how much came so far and how fast, and which one is shown in the feed.
import type { WsConnection } from '../../client/ws-connection.ts';
import type { TopicRoute } from '../../wire/commands.ts';
import { isReservedTopic } from '../../wire/services.ts';
import { byId, make, setText } from './elements.ts';
import { bytes, count, duration, NO_FIGURE, plural } from './format.ts';
import type { Notices } from './notices.ts';

const REFRESH_MS = 2_000;
const ROWS_MAX = 100;
const OWN_PREFIX = 'sys.';

interface Seen {
  readonly messages: number;
  readonly at: number;
  readonly perSecond: number | undefined;
}

interface Row {
  readonly row: HTMLTableRowElement;
  readonly button: HTMLButtonElement;
  readonly cells: Readonly<Record<'partitions' | 'messages' | 'rate' | 'overflow' | 'kept', HTMLTableCellElement>>;
}

export class Topics {
  private readonly connection: WsConnection;
  private readonly notices: Notices;
  private readonly onSelect: (topic: string) => void;
  private readonly onChosen: (topic: string) => void;
  private readonly filter = byId<HTMLInputElement>('topics-filter');
  private readonly body = byId<HTMLTableSectionElement>('topics-body');
  private readonly rows = new Map<string, Row>();
  private seen = new Map<string, Seen>();
  private routes: readonly TopicRoute[] = [];
  private selected: string | undefined;
  private asking = false;

  /** `onSelect`: a topic is shown now. `onChosen`: a person wanted it. */
  constructor(
    connection: WsConnection,
    notices: Notices,
    onSelect: (topic: string) => void,
    onChosen: (topic: string) => void,
  ) {
    this.connection = connection;
    this.notices = notices;
    this.onSelect = onSelect;
    this.onChosen = onChosen;
    this.filter.addEventListener('input', () => this.show());
    setInterval(() => void this.refresh(), REFRESH_MS);
  }

  /** Marks the row, and shows the topic in the feed. */
  select(topic: string): void {
    this.selected = topic;
    this.show();
    this.onSelect(topic);
  }

  /** Asks for all topics. Not while the last answer is still awaited. */
  async refresh(): Promise<void> {
    if (this.asking || this.connection.state !== 'connected') return;
    this.asking = true;
    try {
      this.learn(await this.connection.topics());
    } catch (error) {
      if (this.connection.state === 'connected') this.notices.show('asking for the topics', error);
    } finally {
      this.asking = false;
    }
  }

  private learn(routes: readonly TopicRoute[]): void {
    const now = performance.now();
    const seen = new Map<string, Seen>();
    for (const route of routes) seen.set(route.topic, look(route, this.seen.get(route.topic), now));
    this.seen = seen;
    this.routes = [...routes].sort((a, b) => rank(a) - rank(b) || (a.topic < b.topic ? -1 : 1));
    const first = this.routes.find((route) => rank(route) === 0);
    if (this.selected === undefined && first) this.select(first.topic);
    else this.show();
    byId<HTMLDataListElement>('topic-names').replaceChildren(...this.routes.slice(0, ROWS_MAX).map(option));
  }

  private show(): void {
    const wanted = this.filter.value.trim().toLowerCase();
    const found = this.routes.filter((route) => route.topic.toLowerCase().includes(wanted));
    const rows = found.slice(0, ROWS_MAX).map((route) => this.row(route));
    const gone = new Set(this.body.children);
    rows.forEach((row, i) => {
      gone.delete(row);
      if (this.body.children[i] !== row) this.body.insertBefore(row, this.body.children[i] ?? null);
    });
    for (const row of gone) row.remove();
    for (const name of this.rows.keys()) if (!this.seen.has(name)) this.rows.delete(name);
    byId('topics-empty').hidden = rows.length > 0;
    const all = plural(this.routes.length, 'topic');
    setText(byId('topics-status'), rows.length === this.routes.length ? all : `${count(rows.length)} of ${all}`);
  }

  private row(route: TopicRoute): HTMLTableRowElement {
    const { topic, partitions, overflow, direct } = route;
    let made = this.rows.get(topic);
    if (!made) {
      made = this.make(topic);
      this.rows.set(topic, made);
    }
    const { cells, row, button } = made;
    const seen = this.seen.get(topic);
    setText(cells.partitions, count(partitions.length));
    setText(cells.messages, seen ? count(seen.messages) : NO_FIGURE);
    setText(cells.rate, seen?.perSecond === undefined ? NO_FIGURE : count(seen.perSecond));
    setText(cells.overflow, direct ? `${overflow}, direct` : overflow);
    setText(cells.kept, keptText(route));
    cells.kept.title = keptTitle(route);
    row.classList.toggle('idle', !seen?.perSecond);
    button.setAttribute('aria-pressed', String(topic === this.selected));
    row.classList.toggle('selected', topic === this.selected);
    return row;
  }

  private make(topic: string): Row {
    const button = make('button', 'topic', topic);
    button.type = 'button';
    button.title = topic;
    const name = make('th', '', button);
    name.scope = 'row';
    const cells = {
      partitions: make('td', 'number'),
      messages: make('td', 'number'),
      rate: make('td', 'number rate'),
      overflow: make('td', ''),
      kept: make('td', ''),
    };
    const row = make('tr', '', name, ...Object.values(cells));
    row.addEventListener('click', () => {
      this.select(topic);
      this.onChosen(topic);
    });
    return { row, button, cells };
  }
}

/** Messages so far, and the rate since they were last counted. */
function look(route: TopicRoute, before: Seen | undefined, now: number): Seen {
  const messages = route.partitions.reduce((sum, one) => sum + one.nextOffset, 0);
  if (!before || messages < before.messages) return { messages, at: now, perSecond: undefined };
  return { messages, at: now, perSecond: ((messages - before.messages) / (now - before.at)) * 1000 };
}

/** Where its messages are, and how long if it has a rule of its own: `disk, 2 h 0 min`. */
function keptText({ durable, retentionMs, retentionBytes }: TopicRoute): string {
  if (!durable) return 'memory';
  const age = retentionMs > 0 ? [duration(retentionMs)] : [];
  const size = retentionBytes > 0 ? [bytes(retentionBytes)] : [];
  return ['disk', ...age, ...size].join(', ');
}

function keptTitle({ durable, retentionMs, retentionBytes }: TopicRoute): string {
  if (!durable) return 'volatile: gone when the broker stops';
  return retentionMs > 0 || retentionBytes > 0
    ? 'durable, with a retention of its own'
    : "durable, kept by the broker's rule";
}

/** The broker's own topics come last. */
function rank(route: TopicRoute): number {
  return route.topic.startsWith(OWN_PREFIX) || isReservedTopic(route.topic) ? 1 : 0;
}

function option(route: TopicRoute): HTMLOptionElement {
  const element = make('option');
  element.value = route.topic;
  return element;
}
