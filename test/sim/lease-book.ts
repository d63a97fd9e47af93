// What members of a group have leased, as far as it is certain, and the judgement over it: a message that one of
// them has is handed to nobody else. Times are the wall clock's, as leases are; once it was set nothing is certain.
import { originOf } from './messages.ts';
import type { World } from './world.ts';

interface Lease {
  readonly member: string;
  /** Which delivery it is. */
  readonly attempts: number;
  /** It was known by then. */
  readonly heardAt: number;
  /** Not before. */
  readonly untilMs: number;
  readonly jumps: number;
}

/** What is noted when a lease is asked for. */
export interface LeaseAsk {
  readonly wallMs: number;
  readonly jumps: number;
  readonly forMs: number;
}

export class LeaseBook {
  private readonly world: World;
  /** By message. */
  private readonly leases = new Map<string, Lease>();
  /** By message: what was said of it last. */
  private readonly turns = new Map<string, number>();

  constructor(world: World) {
    this.world = world;
  }

  asks(forMs: number): LeaseAsk {
    return { wallMs: this.world.wallMs(), jumps: this.world.jumps, forMs };
  }

  /** A member has a message from now on. `turn`: unless something else was said of it since then. */
  has(member: string, key: string, ask: LeaseAsk, heardAt: number, attempts = 1, turn?: number): void {
    if (turn !== undefined && this.turns.get(key) !== turn) return;
    this.ends(key);
    const { wallMs, jumps, forMs } = ask;
    this.leases.set(key, { member, attempts, heardAt, untilMs: wallMs + forMs, jumps });
  }

  /** Whoever has a message says what is to become of it. */
  ends(key: string): number {
    const turn = (this.turns.get(key) ?? 0) + 1;
    this.turns.set(key, turn);
    this.leases.delete(key);
    return turn;
  }

  /** A message was handed out that was asked for at `asked`: who has it, if somebody does. */
  holder(key: string, asked: number): string | undefined {
    const lease = this.leases.get(key);
    if (lease === undefined || asked <= lease.heardAt || lease.jumps !== this.world.jumps) return undefined;
    return this.world.wallMs() < lease.untilMs ? lease.member : undefined;
  }

  clear(): void {
    this.leases.clear();
  }

  /**
   * What lies behind these ends will be other messages. The copy of a retried one in its retry topic may be gone, too:
   * then it is made again, and nobody has that one.
   */
  cut(ends: ReadonlyMap<string, number>): void {
    for (const [key, { attempts }] of this.leases) {
      const { place, offset } = originOf(key);
      if (attempts > 1 || offset >= (ends.get(place) ?? 0)) this.leases.delete(key);
    }
  }
}
