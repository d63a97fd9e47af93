// What a part of the coordinator is: methods that clients call, state in the journal, something to do now and then.
import type { InProcessConnection } from '../client/in-process.ts';
import type { Disk } from '../log/disk.ts';
import type { Answered, Method, ParamsOf } from '../wire/services.ts';
import type { Journal, JournalPart } from './journal.ts';

/** Who calls: members of a seat that is gone, or of a session that is closed, are gone too. */
export interface Caller {
  /** Of the calling thread: a front end, or a thread of the embedding program. */
  readonly seat: number;
}

/**
 * Answers one method. Throws, or rejects with, a RingmqError to refuse. A promise may take as long as the call waits.
 */
export type Handler<M extends Method> = (
  params: ParamsOf<M>,
  payload: Uint8Array,
  caller: Caller,
) => Answered<M> | Promise<Answered<M>>;

export type Handlers = { readonly [M in Method]?: Handler<M> };

export interface Service {
  readonly handlers: Handlers;
  /** Its state in the journal; undefined: it has none. */
  readonly part?: JournalPart;
  /** The journal has been read: begin. */
  start(): Promise<void> | void;
  /** Some twenty times a second. */
  housekeep(nowMs: number): void;
  /** The thread that sits here has ended. */
  seatLeft?(seat: number): void;
  /** An orderly stop: held calls are refused with `shutting-down`, what is under way ends. */
  stop(): Promise<void>;
}

export interface CoordinatorContext {
  /** The coordinator's own way into the broker: it reads and publishes like any other client. */
  readonly connection: InProcessConnection;
  readonly journal: Journal;
  /** Folder for files of its own (`<data>/coordinator`); in memory without a data folder. */
  readonly disk: Disk;
  /** True if the broker keeps its data. */
  readonly durable: boolean;
  /** Milliseconds since 1970; may jump. */
  readonly clock: () => number;
  /** Hears what a person should know. */
  readonly warn: (text: string) => void;
}
