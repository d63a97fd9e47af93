import { expect, test } from 'vitest';
import { RouteBook } from '../../../src/frontend/routes.ts';
import type { Command, TopicRoute } from '../../../src/wire/commands.ts';

/** A NameServer that answers when the test says so, with the route as it was when it was asked. */
class SlowNameServer {
  version = 1;
  readonly book = new RouteBook(
    () => new Promise<Command>((resolve) => this.waiting.push({ resolve, version: this.version })),
  );
  private readonly waiting: { resolve(reply: Command): void; version: number }[] = [];

  /** The route changes, and everybody hears of it. */
  change(): void {
    this.version++;
    this.book.spread({ type: 'route-changed', topic: 't', version: this.version, deleted: false });
  }

  get asked(): number {
    return this.waiting.length;
  }

  async answer(): Promise<void> {
    const one = this.waiting.shift();
    one?.resolve({ type: 'route-reply', route: { topic: 't', version: one.version } as TopicRoute });
    await new Promise((resolve) => setImmediate(resolve));
  }
}

test('a route that changes while it is asked for is asked for again, and the old one is given to nobody', async () => {
  const names = new SlowNameServer();
  const first = names.book.fetch('t', false);
  names.change();
  const second = names.book.fetch('t', false);
  await names.answer();
  // The answer was from before the news.
  expect([names.book.known('t'), names.asked]).toEqual([undefined, 1]);
  names.change();
  await names.answer();
  expect([names.book.known('t'), names.asked]).toEqual([undefined, 1]);
  await names.answer();
  expect([(await first).version, (await second).version]).toEqual([3, 3]);
  expect(names.book.known('t')?.version).toBe(3);
  expect((await names.book.fetch('t', false)).version).toBe(3);
});

test('one that changes all the time is given as it was last, and is not kept', async () => {
  const names = new SlowNameServer();
  const route = names.book.fetch('t', true);
  for (let i = 0; i < 4; i++) {
    names.change();
    await names.answer();
  }
  expect((await route).version).toBe(4);
  expect([names.book.known('t'), names.asked]).toEqual([undefined, 0]);
});
