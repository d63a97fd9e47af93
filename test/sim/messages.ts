// A message of a simulated run, by what is known of it: how it was sent, and where it lies.
import type { Gap } from '../../src/client/connection.ts';
import type { MessageName } from '../../torture/message.ts';
import type { Level } from './books.ts';
import type { World } from './world.ts';

export type Fate = 'commit' | 'rollback';

/** What became of a call. `unknown`: no answer came. */
export type Answer = 'asked' | 'yes' | 'unknown';

/** What a message says of itself besides its body. */
export interface About {
  readonly key?: string | undefined;
  readonly tag?: string | undefined;
  /** A property. */
  readonly n?: number | undefined;
  readonly priority?: number | undefined;
}

/** A message, by what it was sent as. */
export interface Sent {
  readonly id: string;
  readonly kind: 'plain' | 'timer' | 'transaction';
  readonly about: About;
  /** It must be there: of plain messages by what they were acknowledged as, of others when they are stored. */
  level: Level;
  deliverAt: number;
  recall: Answer | undefined;
  recalledAt: number;
  /** What its producer does with it, now or when it is asked. */
  fate: Fate | undefined;
  ended: Answer | undefined;
  /** Its broker ended before its sender was told: what it is told later may be about what the crash took back. */
  crossed?: boolean;
}

/** A message in a log. */
export interface Stored {
  /** Its name. */
  readonly id: string;
  /** Its name, and where it was first: a crash may take a message back, and it is sent again. */
  readonly key: string;
}

/** A partition as the auditor has read it: by offset. */
export type LogView = (Stored | undefined)[];

/** What groups and their judge need of everything that is known. */
export interface Told {
  readonly world: World;
  readonly books: { fault(text: string): void };
  /** The topic that all groups read. */
  readonly topic: string;
  readonly sent: ReadonlyMap<string, Sent>;
  /** By topic/partition. */
  readonly logs: ReadonlyMap<string, LogView>;
  /** True if what was there need not be there any more: who has not read it by now, has missed it. */
  gone(place: string, offset: number): boolean;
  /** A group was told that it will not get something. */
  lost(gap: Gap): void;
  /** Number of what happened last. */
  readonly now: number;
  /** Something happens: its number. */
  tick(what: string): number;
}

export function idOf({ producer, sequence }: MessageName): string {
  return `${producer}:${sequence}`;
}

export function keyOf(id: string | undefined, place: string): string {
  return `${id}@${place}`;
}

/** Where a message was first: `topic/partition:offset` of its key. */
export function originOf(key: string): { readonly place: string; readonly offset: number } {
  const colon = key.lastIndexOf(':');
  return { place: key.slice(key.indexOf('@') + 1, colon), offset: Number(key.slice(colon + 1)) };
}
