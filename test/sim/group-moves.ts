// Where a group was moved to on purpose: by a member that seeks, by a reset, by the end of the group. What lies before
// such a place counts as acknowledged, what lies behind it comes again. A move that was not answered may have happened
// or not: then neither is promised, and nothing that follows from either is held against anybody.
import { originOf } from './messages.ts';

/** The queues of a group that was deleted: all of them. */
export const EVERYWHERE = '*';

export interface Move {
  readonly place: string;
  readonly offset: number;
  readonly askedAt: number;
  /** Infinity: nobody knows whether it has happened. */
  answeredAt: number;
  /** When it was answered, or the broker ended; Infinity: it may still happen, whoever waits for it. */
  overAt: number;
  /** It has not happened. */
  refused: boolean;
  /** Messages that may be lost to the group should it have happened in part. */
  readonly loose: ReadonlySet<string>;
}

export class GroupMoves {
  private readonly all: Move[] = [];

  get count(): number {
    return this.all.length;
  }

  asked(place: string, offset: number, askedAt: number, loose: ReadonlySet<string>): Move {
    const answeredAt = Number.POSITIVE_INFINITY;
    const move: Move = { place, offset, askedAt, answeredAt, overAt: answeredAt, refused: false, loose };
    this.all.push(move);
    return move;
  }

  /** The last one that was asked for there. */
  answered(place: string, offset: number, now: number): void {
    const move = this.all.findLast((one) => one.place === place && one.offset === offset && !isKnown(one));
    if (move === undefined) return;
    move.answeredAt = now;
    move.overAt = now;
  }

  /** Whether an acknowledgement that was asked for at `askedAt` may have been undone by a move since. */
  undoes(place: string, offset: number, askedAt: number): boolean {
    return this.all.some((one) => {
      const isThere = one.offset <= offset && (one.place === place || one.place === EVERYWHERE);
      return isThere && !one.refused && askedAt < one.overAt;
    });
  }

  /** The broker has ended: what has not happened by now will not. */
  ended(now: number): void {
    for (const one of this.all) one.overAt = Math.min(one.overAt, now);
  }

  /** With the power went what was not synced. */
  powerLost(syncedAt: number): void {
    for (const one of this.all) if (one.answeredAt > syncedAt) one.answeredAt = Number.POSITIVE_INFINITY;
  }

  /** What is to become of a message: `skipped`, or to be handled after `againAt` (-1: at any time). */
  fateOf(key: string): { readonly skipped: boolean; readonly againAt: number } {
    let skipped = false;
    let maybe = false;
    let againAt = -1;
    for (const one of this.over(key)) {
      const isBehind = one.offset <= originOf(key).offset;
      if (!isKnown(one)) maybe ||= !isBehind || one.loose.has(key);
      else {
        skipped = !isBehind;
        if (isBehind) againAt = one.askedAt;
      }
    }
    return { skipped: skipped || maybe, againAt };
  }

  /** When a message was passed over first; Infinity: never. */
  skippedAt(key: string): number {
    const { offset } = originOf(key);
    for (const one of this.over(key)) if (one.offset > offset) return one.askedAt;
    return Number.POSITIVE_INFINITY;
  }

  /** True if it may have come again because of a move. */
  isVoid(key: string): boolean {
    const { offset } = originOf(key);
    return this.over(key).some((one) => one.offset <= offset);
  }

  private over(key: string): readonly Move[] {
    if (this.all.length === 0) return this.all;
    const { place } = originOf(key);
    return this.all.filter((one) => !one.refused && (one.place === place || one.place === EVERYWHERE));
  }
}

function isKnown({ answeredAt }: Move): boolean {
  return answeredAt !== Number.POSITIVE_INFINITY;
}
