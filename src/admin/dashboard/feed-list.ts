// The rows of the message list: newest first, a bounded number, each opens to show the whole body.
import { previewBody, printBody } from './body-preview.ts';
import { byId, make } from './elements.ts';
import type { FeedMessage } from './feed.ts';
import { count, preciseClock } from './format.ts';

/** Most rows; older ones go. */
export const ROWS_MAX = 200;

export class FeedList {
  private readonly list = byId<HTMLOListElement>('feed-list');
  private readonly empty = byId('feed-empty');

  /** Oldest first. */
  add(messages: readonly FeedMessage[]): void {
    if (messages.length === 0) return;
    const rows = messages.slice(-ROWS_MAX).map(rowOf);
    this.prepend(rows.reverse());
  }

  /** A line about the stream itself. */
  note(text: string, className: string): void {
    this.prepend([make('li', className, text)]);
  }

  clear(): void {
    this.list.replaceChildren();
    this.empty.hidden = false;
  }

  private prepend(rows: readonly HTMLElement[]): void {
    this.empty.hidden = true;
    this.list.prepend(...rows);
    while (this.list.childElementCount > ROWS_MAX) this.list.lastElementChild?.remove();
  }
}

function rowOf(message: FeedMessage): HTMLLIElement {
  const { partition, offset, storedAt, key, tag } = message;
  const { kind, line } = previewBody(message.kept, message.lengthBytes);
  const time = make('time', 'time', preciseClock(storedAt));
  time.dateTime = new Date(storedAt).toISOString();
  const summary = make(
    'summary',
    '',
    time,
    make('span', 'place', make('span', 'partition', String(partition)), make('span', 'offset', String(offset))),
    make('span', 'labels', ...label('key', key), ...label('tag', tag)),
    make('span', `body ${kind}`, line),
  );
  const details = make('details', '', summary);
  details.addEventListener('toggle', () => open(details, message), { once: true });
  const row = make('li', '', details);
  row.dataset.partition = String(partition);
  row.dataset.offset = String(offset);
  return row;
}

function label(kind: string, value: string | undefined): readonly HTMLElement[] {
  if (value === undefined || value === '') return [];
  const element = make('span', kind, value);
  element.title = `${kind} ${value}`;
  return [element];
}

function open(details: HTMLDetailsElement, message: FeedMessage): void {
  const { partition, offset, storedAt, key, tag, properties, lengthBytes } = message;
  const facts = [
    `partition ${partition}, offset ${offset}`,
    `stored ${new Date(storedAt).toISOString()}`,
    `${count(lengthBytes)} bytes`,
    ...(key ? [`key ${key}`] : []),
    ...(tag ? [`tag ${tag}`] : []),
    ...Object.entries(properties ?? {}).map(([name, value]) => `${name}: ${value}`),
  ];
  const body = make('pre', '', printBody(message.kept, lengthBytes));
  body.tabIndex = 0;
  details.append(make('p', 'facts', facts.join(' · ')), body);
}
