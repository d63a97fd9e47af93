// Has all members of a group keep away for a while: it falls behind, and what it has not read may expire.
import type { Connection } from '../../src/client/connection.ts';
import type { GroupBook } from './group-books.ts';
import { MINUTE_MS } from './plan-broad.ts';
import { Role, type RoleContext } from './roles.ts';

const AWAY_MIN_MS = 300;
const AWAY_MAX_MS = 3_500;
/** Turns between two absences, about. */
const TURNS = 40;
const LEAP_EVERY = 3;

export class Absence extends Role {
  private readonly groups: readonly GroupBook[];

  private leaps: number;

  /** `leaps`: so often the clock is set ahead by a minute meanwhile. */
  constructor(context: RoleContext, groups: readonly GroupBook[], leaps: number) {
    super(context);
    this.groups = groups;
    this.leaps = leaps;
  }

  protected started(_connection: Connection): void {}

  turn(): void {
    const { world } = this.context;
    if (this.quiet) {
      for (const group of this.groups) group.away = false;
      return;
    }
    const group = this.groups[world.random(this.groups.length)];
    if (group.away || world.random(TURNS) > 0) return;
    group.away = true;
    if (this.leaps > 0 && world.random(LEAP_EVERY) === 0) {
      this.leaps--;
      setTimeout(() => world.jump(MINUTE_MS), AWAY_MIN_MS);
    }
    setTimeout(
      () => {
        group.away = false;
      },
      world.between(AWAY_MIN_MS, AWAY_MAX_MS),
    );
  }

  override died(): void {
    super.died();
    for (const group of this.groups) group.away = false;
  }
}
