// The table of groups: who shares topics, how far they are, what failed for good.
import type { GroupDescription, GroupSummary } from '../../client/messaging.ts';
import type { WsConnection } from '../../client/ws-connection.ts';
import { byId, make, setText } from './elements.ts';
import { count, plural } from './format.ts';
import type { Notices } from './notices.ts';

const REFRESH_MS = 3_000;
const ROWS_MAX = 50;

interface Row {
  readonly row: HTMLTableRowElement;
  readonly cells: Readonly<Record<'topics' | 'members' | 'lag' | 'leased' | 'dead', HTMLTableCellElement>>;
}

export class Groups {
  private readonly connection: WsConnection;
  private readonly notices: Notices;
  private readonly body = byId<HTMLTableSectionElement>('groups-body');
  private readonly rows = new Map<string, Row>();
  private asking = false;

  constructor(connection: WsConnection, notices: Notices) {
    this.connection = connection;
    this.notices = notices;
    setInterval(() => void this.refresh(), REFRESH_MS);
  }

  /** Asks for all groups. Not while the last answer is still awaited. */
  async refresh(): Promise<void> {
    const { connection } = this;
    if (this.asking || document.hidden || connection.state !== 'connected') return;
    this.asking = true;
    try {
      const groups = await connection.groups();
      // A group may be deleted between the two questions.
      const asked = groups
        .slice(0, ROWS_MAX)
        .map(({ group }) => connection.describeGroup(group).catch(() => undefined));
      this.show(groups, await Promise.all(asked));
    } catch (error) {
      if (connection.state === 'connected') this.notices.show('asking for the groups', error);
    } finally {
      this.asking = false;
    }
  }

  private show(groups: readonly GroupSummary[], described: readonly (GroupDescription | undefined)[]): void {
    const found = described.filter((one) => one !== undefined);
    this.body.replaceChildren(...found.map((one) => this.row(one)));
    for (const name of this.rows.keys()) if (!found.some((one) => one.group === name)) this.rows.delete(name);
    byId('groups').hidden = groups.length === 0;
    setText(byId('groups-status'), plural(groups.length, 'group'));
  }

  private row({ group, subscriptions, members, queues, deadLetters }: GroupDescription): HTMLTableRowElement {
    let made = this.rows.get(group);
    if (!made) {
      made = makeRow(group);
      this.rows.set(group, made);
    }
    const { cells, row } = made;
    const lag = queues.reduce((sum, one) => sum + one.lag, 0);
    setText(cells.topics, subscriptions.map((one) => one.topic).join(', '));
    setText(cells.members, count(members.length));
    setText(cells.lag, count(lag));
    setText(cells.leased, count(queues.reduce((sum, one) => sum + one.leased, 0)));
    setText(cells.dead, count(deadLetters));
    row.classList.toggle('idle', members.length === 0);
    return row;
  }
}

function makeRow(group: string): Row {
  const name = make('th', '', group);
  name.scope = 'row';
  name.title = `ringmq group describe ${group}`;
  const cells = {
    topics: make('td', ''),
    members: make('td', 'number'),
    lag: make('td', 'number'),
    leased: make('td', 'number'),
    dead: make('td', 'number'),
  };
  return { row: make('tr', '', name, ...Object.values(cells)), cells };
}
