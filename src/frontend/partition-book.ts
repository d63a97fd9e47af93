// Who owns which partition, at hand for every batch: identities out of the partition table, kept until a route changes.
import { type PartitionIdentity, readIdentity } from '../memory/partition-entry.ts';
import type { Regions } from '../memory/regions.ts';
import { routeVersion } from '../memory/seats.ts';

export class PartitionBook {
  private readonly regions: Regions;
  private readonly known = new Map<number, PartitionIdentity | undefined>();
  private version = -1;

  constructor(regions: Regions) {
    this.regions = regions;
  }

  /** The active partition with this id; undefined if there is none. HOT */
  find(id: number): PartitionIdentity | undefined {
    const version = routeVersion(this.regions.control);
    if (version !== this.version) {
      this.known.clear();
      this.version = version;
    }
    const identity = this.known.get(id);
    if (identity !== undefined) return identity;
    const fresh = readIdentity(this.regions.table, id);
    // Numbers that no partition has are not kept: anybody can make up as many as he likes.
    if (fresh !== undefined) this.known.set(id, fresh);
    return fresh;
  }
}
