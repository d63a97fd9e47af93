// Rings that do not exist yet: a partition gets its ring with its first batch, or when somebody wants to read it. This
// asks the owner and waits.
import { CODES, codeName, RingmqError } from '../base/codes.ts';
import { NONE } from '../memory/lane.ts';
import { readPlace } from '../memory/partition-entry.ts';
import { openRequest } from '../partition/join.ts';
import type { Participant } from '../thread/participant.ts';
import type { PartitionRoute } from '../wire/commands.ts';
import { RING_WAIT_MS } from './config.ts';
import type { RequestTable, RequestTarget } from './request-table.ts';

interface Opening {
  readonly route: PartitionRoute;
  readonly promise: Promise<void>;
  readonly deadline: number;
  asked: boolean;
  resolve(): void;
  reject(error: RingmqError): void;
}

export class Rings implements RequestTarget {
  private readonly participant: Participant;
  private readonly requests: RequestTable;
  private readonly openings = new Map<number, Opening>();

  constructor(participant: Participant, requests: RequestTable) {
    this.participant = participant;
    this.requests = requests;
  }

  /**
   * Resolves when the partition has a ring that this thread can see. Rejects after 3 s, or with what the owner says.
   */
  ready(route: PartitionRoute, nowMs: number): Promise<void> {
    if (this.isThere(route.id)) return Promise.resolve();
    const known = this.openings.get(route.id);
    if (known) return known.promise;
    let settle: Pick<Opening, 'resolve' | 'reject'> | undefined;
    const promise = new Promise<void>((resolve, reject) => {
      settle = { resolve, reject };
    });
    const opening = { route, promise, deadline: nowMs + RING_WAIT_MS, asked: false, ...settle } as Opening;
    this.openings.set(route.id, opening);
    this.ask(opening);
    return promise;
  }

  /** The owner's answer. `partition` is the id. */
  answered(_request: number, status: number, partition: number): void {
    const opening = this.openings.get(partition);
    if (!opening) return;
    if (status === CODES.ok.number) this.look();
    else this.fail(opening, new RingmqError(codeName(status)));
  }

  /** Something has changed (an arena has come, time has passed): rings may be there now. */
  look(): void {
    for (const [id, opening] of this.openings) {
      if (!this.isThere(id)) continue;
      this.openings.delete(id);
      opening.resolve();
    }
  }

  housekeep(nowMs: number): void {
    if (this.openings.size === 0) return;
    this.look();
    for (const opening of this.openings.values()) {
      if (nowMs >= opening.deadline) {
        this.fail(opening, new RingmqError('broker-unavailable', `partition ${opening.route.number} has no ring yet`));
      } else if (!opening.asked) this.ask(opening);
      else this.participant.announcements.say({ type: 'arenas-wanted' });
    }
  }

  close(): void {
    for (const opening of this.openings.values()) this.fail(opening, new RingmqError('shutting-down'));
  }

  private isThere(id: number): boolean {
    const { regions, arenas } = this.participant;
    return readPlace(regions.table, id, arenas) !== undefined;
  }

  private ask(opening: Opening): void {
    const { route } = opening;
    // A direct partition is opened by the thread that writes it, when it wants to.
    if (this.participant.laneOf(route.owner) === undefined) {
      opening.asked = true;
      return;
    }
    const number = this.requests.tryOpen(this, 0);
    if (number === NONE) return;
    opening.asked = this.participant.tryOpenRing(route.owner, openRequest(route, number));
    if (!opening.asked) this.requests.close(number);
  }

  private fail(opening: Opening, error: RingmqError): void {
    this.openings.delete(opening.route.id);
    opening.reject(error);
  }
}
