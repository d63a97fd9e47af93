// All messaging books of a run, one for each topic that groups read, as the simulation sees them: one.
import type { RecoveredQueue } from '../../src/log/run.ts';
import type { GroupBook } from './group-books.ts';
import type { MessagingBooks } from './messaging-books.ts';
import type { Role } from './roles.ts';

/** What else has to know of a topic's end before a run may end: see Broad. */
export interface Besides {
  /** What is still to come. */
  waitsFor(): string | undefined;
  judge(): readonly string[];
  /** True if the auditor has to read a place up to its end. */
  reads(place: string): boolean;
  readUpTo(place: string): number;
  /** Who read in the end. */
  auditors(): readonly Role[];
}

const NOTHING: Besides = {
  waitsFor: () => undefined,
  judge: () => [],
  reads: () => false,
  readUpTo: () => 0,
  auditors: () => [],
};

export class Desks {
  readonly all: MessagingBooks[];
  besides: Besides = NOTHING;

  constructor(first: MessagingBooks) {
    this.all = [first];
  }

  get groups(): readonly GroupBook[] {
    return this.all.flatMap(({ groups }) => groups);
  }

  synced(): void {
    for (const one of this.all) one.synced();
  }

  crashed(power: boolean): void {
    for (const one of this.all) one.crashed(power);
  }

  stopped(): void {
    for (const one of this.all) one.stopped();
  }

  recovered(queues: readonly RecoveredQueue[], topicNames: ReadonlyMap<number, string>): void {
    for (const one of this.all) one.recovered(queues, topicNames);
  }

  waitsFor(): string | undefined {
    for (const one of [...this.all, this.besides]) {
      const what = one.waitsFor();
      if (what !== undefined) return what;
    }
    return undefined;
  }

  judge(): string[] {
    return [...this.all, this.besides].flatMap((one) => one.judge());
  }

  /** True if nobody has to know what is in there, or the auditor does. `oldest`: nothing is left before it. */
  readUpTo(place: string, oldest: number, end: number): boolean {
    for (const one of this.all) one.begins(place, oldest);
    if (oldest >= end) return true;
    if (this.besides.reads(place) && this.besides.readUpTo(place) < end) return false;
    return this.all.every((one) => {
      const matters =
        place.startsWith(`${one.topic}/`) ||
        one.groups.some(({ name }) => place === `%DLQ%${name}/0` || place === `%RETRY%${name}|${one.topic}/0`);
      return !matters || (one.logs.get(place)?.length ?? 0) >= end;
    });
  }
}
