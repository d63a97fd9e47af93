// How a producer ends its transactions: by op messages where it can, by calls of the coordinator else.
import { type CodeName, RingmqError } from '../base/codes.ts';
import type { Call } from '../wire/services.ts';
import { GatheredCalls } from './gathered-calls.ts';
import type { HalfSender, StoredHalf } from './half-sender.ts';
import { asRefusal } from './sent.ts';

export type OpSender = Pick<HalfSender, 'keepsUp' | 'mayCommit' | 'commit'>;

/** In one call. */
const ENDS_MAX = 1_024;
/** A resolution is repeated for so long while the coordinator or the connection is away: it may be repeated. */
const INSIST_MS = 10_000;
const AGAIN_MS = 200;

/** Where the message of a commit is; of a rollback, or not asked for: nowhere. */
export interface Place {
  readonly partition: number;
  readonly offset: number;
}

const NOWHERE: Place = { partition: -1, offset: -1 };

interface Ending {
  readonly transaction: Known;
  readonly resolve: (place: Place) => void;
  readonly reject: (error: unknown) => void;
}

/** A transaction that is to be ended. */
export interface Known {
  readonly id: string;
  /** Begun here. */
  readonly own: boolean;
  /** Stored without the coordinator: may be committed without it too. */
  readonly half?: StoredHalf | undefined;
  /** Its end was asked of the coordinator, or an op message was sent, which has decided it. */
  ending?: 'asked' | 'sent' | 'decided';
}

/** Ways to end a transaction: calls of each are gathered, for one that waits longer would hold up the others. */
export type End = 'commit' | 'store' | 'rollback';

export class TransactionEndings {
  private readonly call: Call;
  private readonly halves: OpSender | undefined;
  private readonly ends: Readonly<Record<End, GatheredCalls<Ending>>>;

  constructor(call: Call, halves: OpSender | undefined) {
    this.call = call;
    this.halves = halves;
    const gathered = (how: End) => new GatheredCalls<Ending>(ENDS_MAX, (endings) => this.endAll(how, endings));
    this.ends = { commit: gathered('commit'), store: gathered('store'), rollback: gathered('rollback') };
  }

  end(transaction: Known, how: End): Promise<Place> {
    if (transaction.ending === 'decided') {
      if (how === 'commit') return Promise.resolve(NOWHERE);
      if (how === 'rollback') return Promise.reject(new RingmqError('transaction-ended'));
    }
    return new Promise((resolve, reject) => {
      this.ends[how].add({ transaction, resolve, reject });
    });
  }

  /** Everything that was asked for is answered. */
  async drained(): Promise<void> {
    await Promise.all(Object.values(this.ends).map((calls) => calls.drained()));
  }

  private async endAll(how: End, endings: readonly Ending[]): Promise<void> {
    const { halves } = this;
    const byOp: Ending[] = [];
    const own: Ending[] = [];
    const others: Ending[] = [];
    for (const one of endings) {
      const { half, ending, own: isOwn } = one.transaction;
      const isNew = ending === undefined;
      if (how === 'commit' && isNew && half !== undefined && halves?.mayCommit(half)) byOp.push(one);
      // What an op message commits is not rolled back: the coordinator looks whether there is one.
      else if (isOwn && (how !== 'rollback' || isNew || ending === 'asked')) own.push(one);
      else others.push(one);
    }
    await Promise.all([this.commitByOp(byOp), this.ask(how, own, true), this.ask(how, others, false)]);
  }

  private async commitByOp(endings: readonly Ending[]): Promise<void> {
    const { halves } = this;
    if (halves === undefined || endings.length === 0) return;
    for (const { transaction } of endings) transaction.ending = 'sent';
    const decided = await halves.commit(endings.map(({ transaction }) => transaction.half as StoredHalf));
    endings.forEach(({ transaction, resolve }, i) => {
      if (!decided[i]) return;
      transaction.ending = 'decided';
      resolve(NOWHERE);
    });
    await this.ask(
      'commit',
      endings.filter((_, i) => !decided[i]),
      true,
    );
  }

  /** `own`: see the service. */
  private async ask(how: End, endings: readonly Ending[], own: boolean): Promise<void> {
    if (endings.length === 0) return;
    const names = endings.map(({ transaction }) => {
      transaction.ending ??= 'asked';
      return transaction.id;
    });
    const isRollback = how === 'rollback';
    const [commits, rollbacks] = isRollback ? [[], names] : [names, []];
    const deadline = performance.now() + INSIST_MS;
    for (;;) {
      try {
        const params = { commits, rollbacks, receipts: how === 'store', own };
        const { result } = await this.call('transaction-end', params);
        settle(endings, isRollback ? result.rollbacks : result.commits, result.places);
        if (how === 'commit') this.halves?.keepsUp();
        return;
      } catch (error) {
        if (!asRefusal(error).retryable || performance.now() >= deadline) {
          for (const { reject } of endings) reject(error);
          return;
        }
        await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
      }
    }
  }
}

/** Tells each what its transaction came to. `places`: two numbers each. */
function settle(endings: readonly Ending[], codes: readonly CodeName[], places: readonly number[] = []): void {
  for (let i = 0; i < endings.length; i++) {
    if (codes[i] !== 'ok') endings[i].reject(new RingmqError(codes[i]));
    else if (places.length === 0) endings[i].resolve(NOWHERE);
    else endings[i].resolve({ partition: places[2 * i], offset: places[2 * i + 1] });
  }
}
