// Commits of one turn to one topic travel together: one intent, one batch.
import { asRefusal } from '../client/sent.ts';

/** Commits that are gathered until the end of the turn. */
interface Gathering {
  readonly offsets: number[];
  readonly moved: Promise<unknown>;
}

export class CommitGroups {
  private readonly move: (topic: string, offsets: readonly number[]) => Promise<unknown>;
  private readonly gathering = new Map<string, Gathering>();

  /** `move` publishes half messages, all or none of them. */
  constructor(move: (topic: string, offsets: readonly number[]) => Promise<unknown>) {
    this.move = move;
  }

  /** Settles when the half message is published. One that cannot be holds up no other. */
  async commit(topic: string, offset: number): Promise<void> {
    const gathering = this.gathering.get(topic) ?? this.begin(topic);
    gathering.offsets.push(offset);
    try {
      await gathering.moved;
    } catch (error) {
      if (gathering.offsets.length === 1 || asRefusal(error).retryable) throw error;
      await this.move(topic, [offset]);
    }
  }

  private begin(topic: string): Gathering {
    const offsets: number[] = [];
    // Whatever came in this turn is asked for before the next microtask.
    const moved = Promise.resolve().then(() => {
      this.gathering.delete(topic);
      return this.move(topic, offsets);
    });
    const gathering = { offsets, moved };
    this.gathering.set(topic, gathering);
    return gathering;
  }
}
