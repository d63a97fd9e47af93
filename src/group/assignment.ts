// Which member of a group reads which queue, and how queues change hands: sticky, even, and never with two members at
// work on one queue. Queues and members are names here.
//
// I1 A queue has at most one holder: the member that was told to read it and has not said since that it does not.
// I2 A queue changes its holder only by way of none: given up, or the member is gone.

/**
 * Shares queues evenly: no two members differ by more than one. Queues stay where they are as far as that allows, so
 * that as few as can be move. The same input gives the same result.
 *
 * `present`: who has a queue now; members that are not named any more have lost theirs.
 */
export function shareQueues(
  queues: readonly string[],
  members: readonly string[],
  present: ReadonlyMap<string, string>,
): Map<string, string> {
  const shares = new Map<string, string[]>([...members].sort().map((member) => [member, []]));
  const free: string[] = [];
  for (const queue of queues) {
    const share = shares.get(present.get(queue) ?? '');
    if (share) share.push(queue);
    else free.push(queue);
  }
  // Who has most keeps one more where it does not come out even: then fewer queues move.
  const order = [...shares].sort(([a, has], [b, had]) => had.length - has.length || (a < b ? -1 : 1));
  const least = order.length === 0 ? 0 : Math.floor(queues.length / order.length);
  let more = queues.length - least * order.length;
  const quotas = order.map(([, share]) => {
    const quota = more > 0 ? least + 1 : least;
    more--;
    free.push(...share.splice(quota));
    return quota;
  });
  const places = new Map(queues.map((queue, place) => [queue, place]));
  free.sort((a, b) => (places.get(a) as number) - (places.get(b) as number));
  let next = 0;
  for (const [i, [, share]] of order.entries()) {
    while (share.length < quotas[i]) share.push(free[next++]);
  }
  return new Map(order.flatMap(([member, share]) => share.map((queue) => [queue, member] as const)));
}

export class Assignment {
  /** Who shall have a queue. */
  private targets = new Map<string, string>();
  /** The same by member; undefined: to be made. */
  private shares: Map<string, string[]> | undefined;
  /** Who has it (I1). */
  private readonly holders = new Map<string, string>();

  /** Shares the queues anew. True if somebody shall have others than before. */
  rebalance(queues: readonly string[], members: readonly string[]): boolean {
    const before = this.targets;
    this.targets = shareQueues(queues, members, before);
    this.shares = undefined;
    // A queue that is no more is given up like one that moves: its holder is told by not being told of it.
    return !isSame(before, this.targets);
  }

  /** Member that reads the queue; '' for none. */
  holderOf(queue: string): string {
    return this.holders.get(queue) ?? '';
  }

  /** A member says what it holds: what it does not name it has given up. True if that made a queue free. */
  synced(member: string, owned: ReadonlySet<string>): boolean {
    let freed = false;
    for (const [queue, holder] of this.holders) {
      if (holder === member && !owned.has(queue)) freed = this.holders.delete(queue);
    }
    return freed;
  }

  /** What a member may be told to read now: meant for it, and nobody else's any more. */
  due(member: string): string[] {
    return this.shareOf(member).filter((queue) => (this.holders.get(queue) ?? member) === member);
  }

  /** The member was told to read these. */
  granted(member: string, queues: readonly string[]): void {
    for (const queue of queues) this.holders.set(queue, member);
  }

  /** A member of before a restart says what it holds. False, and nothing done, if one of it is another one's. */
  tryClaim(member: string, queues: readonly string[]): boolean {
    if (queues.some((queue) => (this.holders.get(queue) ?? member) !== member)) return false;
    for (const queue of queues) {
      this.holders.set(queue, member);
      this.targets.set(queue, member);
    }
    this.shares = undefined;
    return true;
  }

  /** A member is gone: its queues are free. The next rebalance() gives them to others. */
  left(member: string): void {
    this.synced(member, new Set());
  }

  private shareOf(member: string): readonly string[] {
    if (this.shares === undefined) {
      this.shares = new Map();
      for (const [queue, target] of this.targets) {
        const share = this.shares.get(target);
        if (share) share.push(queue);
        else this.shares.set(target, [queue]);
      }
    }
    return this.shares.get(member) ?? [];
  }
}

function isSame(a: ReadonlyMap<string, string>, b: ReadonlyMap<string, string>): boolean {
  if (a.size !== b.size) return false;
  for (const [key, value] of a) if (b.get(key) !== value) return false;
  return true;
}
