// What groups look like just now, for metrics: asked of the coordinator, and kept for some seconds.
import { wholeDescription } from '../wire/group-pages.ts';
import type { CoordinatorFigures, GroupDescription, Method, ParamsOf, ResultOf } from '../wire/services.ts';

/** Groups with series of their own: labels without a bound would cost the collector more than the broker. */
export const LABELLED_GROUPS_MAX = 100;
const KEEP_MS = 5_000;
/** Whoever asks for figures waits no longer than this; then they are those of the last time. */
const WAIT_MS = 1_000;

/** What metrics show of the coordinator. */
export interface CoordinatorShown {
  /** Undefined if it does not answer. */
  readonly figures: CoordinatorFigures | undefined;
  readonly groups: readonly GroupDescription[];
}

/** Asks the coordinator. */
type Ask = <M extends Method>(method: M, params: ParamsOf<M>) => Promise<{ readonly result: ResultOf<M> }>;

export class GroupFigures {
  private readonly ask: Ask;
  private readonly clock: () => number;
  private askedAt = Number.NEGATIVE_INFINITY;
  private asking: Promise<void> = Promise.resolve();
  private known: CoordinatorShown = NOTHING;

  constructor(ask: Ask, clock: () => number) {
    this.ask = ask;
    this.clock = clock;
  }

  /** With the first groups by name. */
  async read(): Promise<CoordinatorShown> {
    const now = this.clock();
    if (Math.abs(now - this.askedAt) >= KEEP_MS) {
      this.askedAt = now;
      this.asking = this.refresh();
    }
    let late: ReturnType<typeof setTimeout> | undefined;
    const waited = new Promise<void>((resolve) => {
      late = setTimeout(resolve, WAIT_MS);
    });
    await Promise.race([this.asking, waited]);
    clearTimeout(late);
    return this.known;
  }

  private async refresh(): Promise<void> {
    try {
      const [{ result }, groups] = await Promise.all([this.ask('coordinator-figures', {}), this.describe()]);
      this.known = { figures: result, groups };
    } catch {
      this.known = NOTHING;
    }
  }

  private async describe(): Promise<readonly GroupDescription[]> {
    const { result } = await this.ask('group-list', {});
    const names = result.groups.slice(0, LABELLED_GROUPS_MAX).map((one) => one.group);
    const described = await Promise.all(
      // One that was deleted meanwhile has no figures.
      names.map((group) => this.whole(group).catch(() => undefined)),
    );
    return described.filter((one) => one !== undefined);
  }

  private whole(group: string): Promise<GroupDescription> {
    return wholeDescription(async (after) => {
      return (await this.ask('group-describe', after === undefined ? { group } : { group, after })).result;
    });
  }
}

const NOTHING: CoordinatorShown = { figures: undefined, groups: [] };

/** Figures of a group on one topic. */
export interface TopicShare {
  readonly group: string;
  readonly topic: string;
  readonly lag: number;
  readonly leased: number;
}

/** By group and topic. */
export function topicShares(groups: readonly GroupDescription[]): readonly TopicShare[] {
  return groups.flatMap(({ group, queues }) => {
    const topics = new Map<string, { lag: number; leased: number }>();
    for (const { topic, lag, leased } of queues) {
      const sums = topics.get(topic) ?? { lag: 0, leased: 0 };
      topics.set(topic, { lag: sums.lag + lag, leased: sums.leased + leased });
    }
    return [...topics].map(([topic, sums]) => ({ group, topic, ...sums }));
  });
}
