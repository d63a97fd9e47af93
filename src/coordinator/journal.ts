// The coordinator's journal: what groups have acknowledged, which timers have fired, which transactions are resolved.
// The interface. journal-file.ts implements it, on a disk or, for a broker that keeps nothing, on one in memory.

/** One part's share of the journal. */
export interface JournalPart {
  readonly name: string;
  /** Told in the order of writing, snapshots first, before start(). `record` is JSON as it was appended. */
  replay(record: unknown): void;
  /** Records that, replayed into an empty part, make its present state. Called when the journal is written anew. */
  snapshot(): Iterable<unknown>;
}

export interface Journal {
  /** Survives the process (in memory: the thread) when it returns. Throws RingmqError `disk-full` or `store-failed`. */
  append(part: string, record: unknown): void;
  /** Everything appended is on the disk (survives loss of power) when it returns. */
  sync(): void;
}

/** The journal as its owner sees it, who reads it before anything is appended. */
export interface OpenJournal extends Journal {
  /** Tells every part what it knew. Once. Throws RingmqError `state-corrupt`. */
  replay(parts: readonly JournalPart[]): void;
  /** Writes it anew if it has grown. To be called now and then. */
  compactIfLong(): void;
  close(): void;
}
