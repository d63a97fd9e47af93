// Who operates groups: replays their dead letters, sets them to other places, deletes them.
import { RingmqError } from '../../src/base/codes.ts';
import type { Connection } from '../../src/client/connection.ts';
import type { GroupBook } from './group-books.ts';
import { EVERYWHERE, type Move } from './group-moves.ts';
import { Role, type RoleContext } from './roles.ts';

const AGAIN_MS = 100;
/** So long members are asked to keep away. */
const AWAY_MAX_MS = 4_000;
const LETTERS_MAX = 5;
/** Offsets beyond what was handed out that a reset may ask for. */
const AHEAD_MAX = 3;
/** Refused: nothing has happened. */
const IN_USE = ['group-in-use', 'unknown-group', 'unknown-topic', 'offset-out-of-range', 'unknown-partition'];
const NO_LETTERS = ['unknown-topic', 'not-found'];

export class Operator extends Role {
  private readonly groups: readonly GroupBook[];
  /** It has one of them keep away. */
  private moving: GroupBook | undefined;

  constructor(context: RoleContext, groups: readonly GroupBook[]) {
    super(context);
    this.groups = groups;
  }

  protected started(): void {}

  override died(): void {
    super.died();
    this.letBack();
  }

  turn(): void {
    const { world } = this.context;
    const { connection, groups } = this;
    if (!connection || this.underWay > 0) return;
    const group = groups[world.random(groups.length)];
    if (this.quiet) {
      this.letBack();
      if (world.random(20) === 0) this.replay(connection, group, Number.POSITIVE_INFINITY);
    } else if (this.moving === undefined && world.random(30) === 0) {
      const dice = world.random(10);
      if (dice < 6) this.replay(connection, group, world.between(1, LETTERS_MAX));
      else this.move(connection, group, dice === 9);
    }
  }

  private replay(connection: Connection, group: GroupBook, max: number): void {
    const { books } = this.context;
    const letters = group.letters(books).length;
    group.replays(0);
    this.follow(
      connection.replayDeadLetters(group.name, max),
      ({ left }) => group.replays(left === 0 ? letters : 0),
      (code) => {
        if (!NO_LETTERS.includes(code)) this.unexpected('a replay', code);
      },
    );
  }

  /** Its members keep away until it is done, or for long enough. */
  private move(connection: Connection, group: GroupBook, isEnd: boolean): void {
    const { world, books } = this.context;
    this.moving = group;
    group.away = true;
    const untilMs = world.nowMs + AWAY_MAX_MS;
    const partition = world.random(books.partitions);
    const place = `${books.topic}/${partition}`;
    const offset = world.chance(30) ? 0 : world.random(group.furthest(place) + AHEAD_MAX);
    const over = (): boolean => this.connection !== connection || this.moving !== group;
    const attempt = (): void => {
      if (over()) return;
      const move = isEnd ? group.moving(EVERYWHERE, 0) : group.moving(place, offset);
      this.follow(
        isEnd ? connection.deleteGroup(group.name) : this.reset(connection, group, partition, offset),
        () => {
          group.moved(move.place, move.offset);
          this.letBack();
        },
        (code) => this.notMoved(code, move, world.nowMs < untilMs ? attempt : undefined),
      );
    };
    attempt();
  }

  /** A group that has not read the topic yet would begin at its end elsewhere: it is left alone. */
  private async reset(connection: Connection, { name }: GroupBook, partition: number, offset: number): Promise<void> {
    const { topic } = this.context.books;
    const { subscriptions } = await connection.describeGroup(name);
    if (!subscriptions.some((one) => one.topic === topic)) throw new RingmqError('unknown-group');
    await connection.resetGroup(name, topic, { offset }, partition);
  }

  private notMoved(code: string, move: Move, again: (() => void) | undefined): void {
    move.refused = IN_USE.includes(code);
    if (!move.refused) this.unexpected('a move', code);
    // There is no such group, or no such place.
    if (again === undefined || (move.refused && code !== 'group-in-use')) this.letBack();
    else setTimeout(again, AGAIN_MS);
  }

  private letBack(): void {
    if (this.moving) this.moving.away = false;
    this.moving = undefined;
  }
}
