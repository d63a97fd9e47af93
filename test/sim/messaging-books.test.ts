// Every kind of anomaly, written into the books by hand: what the judge does not find here, no seed will find.
import { expect, test } from 'vitest';
import { Books } from './books.ts';
import { FILTERS } from './filters.ts';
import { GroupBook, type GroupRules } from './group-books.ts';
import type { About, Sent } from './messages.ts';
import { MessagingBooks } from './messaging-books.ts';
import { World } from './world.ts';

const ATTEMPTS_MAX = 3;

/** A topic of one partition, and a group that keeps the order of keys. */
class Desk {
  readonly world = new World(1);
  readonly books = new MessagingBooks(new Books(this.world, false), 'work');
  readonly group: GroupBook;
  private next = 0;

  constructor(rules: Partial<GroupRules> = {}) {
    this.group = new GroupBook('push', { order: 'key', attemptsMax: ATTEMPTS_MAX, ...rules }, this.books);
    this.books.groups.push(this.group);
  }

  send(kind: Sent['kind'], key?: string, about: About = {}): Sent {
    const one = this.books.sending({ producer: 1, sequence: this.next++ }, kind, { key, ...about });
    this.books.stored(one, 'durable');
    return one;
  }

  /** It lies there. */
  audit(offset: number, one: Sent, place = 'work/0', origin?: string): void {
    this.books.audited(place, offset, nameOf(one), origin);
  }

  hand(offset: number, one: Sent, attempts = 1, about: About = one.about): string {
    return this.group.handed('a', { place: `work/0:${offset}`, name: nameOf(one), attempts, about });
  }

  /** It lies there, was handled and is acknowledged. */
  settle(offset: number, one: Sent): void {
    this.audit(offset, one);
    this.handle(offset, one);
    this.group.committed('work/0', offset + 1, []);
  }

  /** It is the first of the dead letters, and comes back. */
  die(offset: number, one: Sent, at = 0): void {
    this.audit(offset, one);
    this.hand(offset, one, ATTEMPTS_MAX);
    this.audit(at, one, '%DLQ%push/0', `work/0:${offset}`);
  }

  /** A member asks for it and has it. */
  lease(offset: number, one: Sent): string {
    const ask = this.group.leases.asks(1_000);
    const key = this.hand(offset, one);
    this.group.leases.has('a', key, ask, this.books.now);
    this.books.tick('somebody asks');
    return key;
  }

  handle(offset: number, one: Sent): void {
    this.group.succeeded('a', this.hand(offset, one));
  }

  get found(): string[] {
    return [...this.books.books.faults, ...this.books.judge()].map((text) => text.split(':')[0].split(' to ')[0]);
  }
}

function nameOf({ id }: Sent) {
  const [producer, sequence] = id.split(':').map(Number);
  return { producer, sequence };
}

test('a life in which all goes well', () => {
  const desk = new Desk();
  const [plain, timer, taken, kept, back] = (['plain', 'timer', 'timer', 'transaction', 'transaction'] as const).map(
    (kind) => desk.send(kind),
  );
  desk.books.recalled(taken, 'yes');
  kept.fate = 'commit';
  back.fate = 'rollback';
  [plain, timer, kept].forEach((one, i) => {
    desk.audit(i, one);
    desk.handle(i, one);
  });
  desk.group.committed('work/0', 3, []);
  expect(desk.books.waitsFor()).toBeUndefined();
  expect(desk.found).toEqual([]);
});

test.each<[string, string, (desk: Desk) => void]>([
  ['acknowledged, and not there', 'lost', (desk) => void desk.send('plain')],
  ['in the log, and never handled', 'lost', (desk) => desk.audit(0, desk.send('plain'))],
  [
    'handed again after its ack',
    'again',
    (desk) => {
      const one = desk.send('plain');
      desk.audit(0, one);
      desk.handle(0, one);
      desk.group.committed('work/0', 0, [0, 1]);
      desk.hand(0, one, 2);
    },
  ],
  [
    'handed again after the ack of its retry',
    'again',
    (desk) => {
      const one = desk.send('plain');
      desk.audit(0, one);
      desk.audit(0, one, '%RETRY%push|work/0', 'work/0:0');
      desk.handle(0, one);
      desk.group.committed('%RETRY%push|work/0', 1, []);
      desk.handle(0, one);
    },
  ],
  [
    'overtaken by a later one of its key',
    'overtaken',
    (desk) => {
      const [first, second] = [desk.send('plain', 'k'), desk.send('plain', 'k')];
      desk.audit(0, first);
      desk.audit(1, second);
      desk.handle(1, second);
      desk.handle(0, first);
    },
  ],
  [
    'fired twice',
    'twice',
    (desk) => {
      const one = desk.send('timer');
      for (const offset of [0, 1]) {
        desk.audit(offset, one);
        desk.handle(offset, one);
      }
    },
  ],
  [
    'fired too soon',
    'early',
    (desk) => {
      const one = desk.send('timer');
      one.deliverAt = desk.world.wallMs() + 1;
      desk.audit(0, one);
      desk.handle(0, one);
    },
  ],
  [
    'fired after its recall',
    'taken back',
    (desk) => {
      const one = desk.send('timer');
      desk.books.recalled(one, 'yes');
      desk.audit(0, one);
      desk.handle(0, one);
    },
  ],
  ['never fired', 'lost', (desk) => void desk.send('timer')],
  [
    'rolled back, and visible',
    'taken back',
    (desk) => {
      const one = desk.send('transaction');
      one.fate = 'rollback';
      desk.audit(0, one);
      desk.handle(0, one);
    },
  ],
  [
    'committed, or left to a check, and not visible',
    'lost',
    (desk) => {
      desk.send('transaction').fate = 'commit';
    },
  ],
  [
    'a message that nobody sent',
    'phantom',
    (desk) => {
      const one = desk.send('plain');
      desk.audit(0, one);
      desk.handle(0, one);
      (desk.books.sent as Map<string, Sent>).delete(one.id);
    },
  ],
])('%s: %s', (_, kind, happen) => {
  const desk = new Desk();
  happen(desk);
  expect(desk.found).toContain(kind);
});

test('what a loss of power may take back is no anomaly', () => {
  const desk = new Desk();
  const [one, timer] = [desk.send('plain'), desk.send('timer')];
  desk.audit(0, one);
  desk.audit(1, timer);
  desk.handle(0, one);
  desk.group.committed('work/0', 1, []);
  desk.books.recalled(timer, 'yes');
  desk.books.crashed(true);
  desk.handle(0, one);
  desk.handle(1, timer);
  expect(desk.found).toEqual([]);
});

test('what was synced before is one', () => {
  const desk = new Desk();
  const one = desk.send('plain');
  desk.audit(0, one);
  desk.handle(0, one);
  desk.group.committed('work/0', 1, []);
  desk.books.synced();
  desk.books.crashed(true);
  desk.handle(0, one);
  expect(desk.found).toEqual(['again']);
});

test.each<[string, string | undefined, Partial<GroupRules>, (desk: Desk) => void]>([
  [
    'handed though the filter leaves it out',
    'unwanted',
    { filter: FILTERS.tags },
    (desk) => desk.settle(0, desk.send('plain', undefined, { tag: 'blue' })),
  ],
  [
    'left out though the filter wants it',
    'lost',
    { filter: FILTERS.tags },
    (desk) => desk.audit(0, desk.send('plain', undefined, { tag: 'red' })),
  ],
  [
    'left out by the filter',
    undefined,
    { filter: FILTERS.tags },
    (desk) => desk.audit(0, desk.send('plain', undefined, { tag: 'blue' })),
  ],
  [
    'handed with another priority than it was sent with',
    'changed',
    {},
    (desk) => {
      const one = desk.send('plain', undefined, { priority: 3 });
      desk.audit(0, one);
      desk.group.succeeded('a', desk.hand(0, one, 1, { priority: 4 }));
    },
  ],
  [
    'overtaken in its partition',
    'overtaken',
    { order: 'partition' },
    (desk) => {
      const [first, second] = [desk.send('plain', 'k'), desk.send('plain', 'l')];
      desk.audit(0, first);
      desk.audit(1, second);
      desk.handle(1, second);
      desk.handle(0, first);
    },
  ],
  [
    'handed to another while it is leased',
    'leased',
    {},
    (desk) => {
      const one = desk.send('plain');
      desk.audit(0, one);
      desk.group.succeeded('a', desk.lease(0, one));
      desk.world.advance(999);
      desk.hand(0, one, 2);
    },
  ],
  [
    'handed to another when its lease has run out',
    undefined,
    {},
    (desk) => {
      const one = desk.send('plain');
      desk.audit(0, one);
      desk.lease(0, one);
      desk.world.advance(1_001);
      desk.handle(0, one);
    },
  ],
  [
    'among the dead letters twice',
    'doubled',
    {},
    (desk) => {
      const one = desk.send('plain');
      desk.die(0, one);
      desk.die(0, one, 1);
    },
  ],
  [
    'replayed twice',
    'twice',
    {},
    (desk) => {
      const one = desk.send('plain');
      desk.die(0, one);
      desk.group.replays(1);
      desk.settle(1, one);
      desk.settle(2, one);
    },
  ],
  [
    'replayed, and not there',
    'lost',
    {},
    (desk) => {
      desk.die(0, desk.send('plain'));
      desk.group.replays(1);
    },
  ],
  [
    'replayed once',
    undefined,
    {},
    (desk) => {
      const one = desk.send('plain');
      desk.die(0, one);
      desk.group.replays(1);
      desk.settle(1, one);
    },
  ],
  [
    'not handled again after a seek',
    'lost',
    {},
    (desk) => {
      desk.settle(0, desk.send('plain'));
      desk.group.moving('work/0', 0);
      desk.group.moved('work/0', 0);
    },
  ],
  [
    'handled again after a seek',
    undefined,
    {},
    (desk) => {
      const one = desk.send('plain');
      desk.settle(0, one);
      desk.group.moving('work/0', 0);
      desk.group.moved('work/0', 0);
      desk.handle(0, one);
    },
  ],
  [
    'skipped by a seek',
    undefined,
    {},
    (desk) => {
      desk.audit(0, desk.send('plain'));
      desk.group.moving('work/0', 1);
      desk.group.moved('work/0', 1);
    },
  ],
  [
    'handed out though a seek has skipped it',
    'again',
    {},
    (desk) => {
      const one = desk.send('plain');
      desk.audit(0, one);
      desk.group.moving('work/0', 1);
      desk.group.moved('work/0', 1);
      desk.handle(0, one);
    },
  ],
  [
    'handed again after a seek that nobody answered',
    undefined,
    {},
    (desk) => {
      const one = desk.send('plain');
      desk.settle(0, one);
      desk.group.moving('work/0', 0);
      desk.handle(0, one);
    },
  ],
])('%s: %s', (_, kind, rules, happen) => {
  const desk = new Desk(rules);
  happen(desk);
  expect(desk.found).toEqual(kind === undefined ? [] : [kind]);
});
