// What each server thread is started with. Types of agents and of the log come as parameters: this folder imports
// neither.
import type { Attachment } from '../memory/regions.ts';
import type { FileChange, FileMemories } from '../memory/shared-file.ts';
import type { IdleName } from './agent.ts';

/** `Run` is the log's own type. */
export interface BrokerWorkerData<Run = never> {
  readonly attachment: Attachment;
  readonly seat: number;
  readonly idle: IdleName;
  readonly ringMemoryMaxBytes: number;
  /** The newest runs of its partitions (by partition id), oldest first, that the log had when the broker started. */
  readonly tails?: readonly { readonly id: number; readonly runs: readonly Run[] }[];
  /** Folder of the log. Only if the broker keeps its data. */
  readonly logFolder?: string;
}

/** `options` and `topics` are the NameServer agent's own types, `Queues` the log's queues and whether it was closed. */
export interface NameServerWorkerData<Options = never, Topic = never, Queues = never> {
  readonly attachment: Attachment;
  readonly options: Options;
  readonly topics: readonly Topic[];
  /** Folder of the state. Only if the broker keeps its data. */
  readonly stateFolder?: string;
  /** What the log had when the broker started: for every start of the thread. Only if the broker keeps its data. */
  readonly recovered?: Queues;
  /** What it says to people, on standard error. Default: warnings. */
  readonly logLevel?: string;
}

/** `Recovered` is the log's RecoveredLog: for the first start only, a successor recovers by itself. */
export interface StoreWorkerData<Recovered = never> {
  readonly attachment: Attachment;
  /** Folder of the log. */
  readonly folder: string;
  readonly mode: 'direct' | 'buffered';
  readonly segmentBytes: number;
  /** Counts the starts of the broker. */
  readonly generation: number;
  readonly recovered?: Recovered;
}

/** See StoreWorkerData. */
export interface LogReaderWorkerData<Recovered = never> {
  readonly attachment: Attachment;
  /** Folder of the log. */
  readonly folder: string;
  /** Folder of the key index. */
  readonly keysFolder: string;
  /** How files are read: past the page cache where the store writes past it. Default `buffered`. */
  readonly mode?: 'direct' | 'buffered';
  readonly segmentBytes: number;
  /** How long the log keeps messages whose topic says nothing else, in milliseconds. */
  readonly retentionMs: number;
  /** How large the log may become, in bytes; 0: as large as the disk allows. */
  readonly retentionBytes: number;
  readonly recovered?: Recovered;
}

export interface CoordinatorWorkerData {
  readonly attachment: Attachment;
  /** When producers are asked about half messages: milliseconds before the first check and between two; most checks. */
  readonly checks: { readonly immunityMs: number; readonly intervalMs: number; readonly checksMax: number };
  /** Behind so many bytes of changes the journal is written anew. */
  readonly journalTailBytes: number;
  /** Milliseconds between two checkpoints of scheduled messages. */
  readonly timerCheckpointMs: number;
  /** Folder of its journal and timers. Only if the broker keeps its data. */
  readonly folder?: string;
  /** What a predecessor has left of them in memory. Only if the broker keeps nothing. */
  readonly files?: FileMemories;
}

/** The coordinator of a broker that keeps nothing: what its successor must be given. Also before it is ready. */
export interface FilesReport {
  readonly type: 'files';
  readonly change: FileChange;
}

/** Something that a server thread has to say to people: the supervisor puts it into the broker's log. */
export interface ThreadReport {
  readonly type: 'report';
  readonly level: 'info' | 'warn' | 'error' | 'fatal';
  readonly text: string;
  readonly fields: Record<string, unknown>;
}
