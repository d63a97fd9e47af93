// The journal of a broker that keeps nothing: what was told to it ends with its thread.
import type { OpenJournal } from './journal.ts';

export class MemoryJournal implements OpenJournal {
  append(): void {}

  sync(): void {}

  replay(): void {}

  compactIfLong(): void {}

  close(): void {}
}
