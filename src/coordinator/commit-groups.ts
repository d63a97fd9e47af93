// Commits of one turn to one topic travel together: one intent, one batch.
import type { RingmqError } from '../base/codes.ts';
import { asRefusal } from '../client/sent.ts';

/** What a group came to; undefined: all is well. */
type Refusal = RingmqError | undefined;

/** Publishes half messages, all or none of them; calls decide() when nothing can keep it from that any more. */
export type Publish = (group: CommitGroup) => Promise<unknown>;

export class CommitGroup {
  readonly topic: string;
  /** Of the half messages. */
  readonly offsets: number[] = [];
  /** Somebody waits until they are stored. */
  isAwaited = false;
  /** When it is decided that they will be published, or could not be. */
  readonly decided: Promise<Refusal>;
  /** When they are published, or could not be. */
  readonly stored: Promise<Refusal>;
  private decideAs: (refusal: Refusal) => void = () => {};
  private storeAs: (refusal: Refusal) => void = () => {};

  constructor(topic: string) {
    this.topic = topic;
    this.decided = new Promise((resolve) => {
      this.decideAs = resolve;
    });
    this.stored = new Promise((resolve) => {
      this.storeAs = resolve;
    });
  }

  begin(publish: Publish): void {
    publish(this).then(
      () => this.storeAs(undefined),
      (error: unknown) => {
        const refusal = asRefusal(error);
        this.decideAs(refusal);
        this.storeAs(refusal);
      },
    );
  }

  readonly decide = (): void => this.decideAs(undefined);
}

export class CommitGroups {
  private readonly publish: Publish;
  private readonly gathering = new Map<string, CommitGroup>();

  constructor(publish: Publish) {
    this.publish = publish;
  }

  /** The group that goes to a topic at the end of this turn. */
  of(topic: string): CommitGroup {
    const known = this.gathering.get(topic);
    if (known) return known;
    const group = new CommitGroup(topic);
    this.gathering.set(topic, group);
    // Whatever came in this turn is asked for before the next microtask.
    queueMicrotask(() => {
      this.gathering.delete(topic);
      group.begin(this.publish);
    });
    return group;
  }
}
