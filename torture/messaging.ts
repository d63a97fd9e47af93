// Everything of the torture that is messaging: groups, delayed messages, transactions.
import { PushGroup } from './push-group.ts';
import { Replays } from './replays.ts';
import { SimpleGroup } from './simple-group.ts';
import { Timers } from './timers.ts';
import { Transactions } from './transactions.ts';

export class Messaging {
  private readonly groups: readonly [PushGroup, SimpleGroup];
  private readonly all: readonly (PushGroup | SimpleGroup | Replays | Timers | Transactions)[];

  constructor(url: string) {
    this.groups = [new PushGroup(url, 'push'), new SimpleGroup(url, 'simple')];
    this.all = [...this.groups, new Replays(url), new Timers(url), new Transactions(url)];
  }

  start(): void {
    for (const one of this.all) one.start();
  }

  /** Begins nothing more; resolves when what was asked for is answered. */
  async stop(): Promise<void> {
    await Promise.all(this.all.map((one) => one.stop()));
  }

  /** Waits until nothing more is to come, and compares. */
  async audit(): Promise<void> {
    await Promise.all(
      this.all.map((one) => one.audit().catch((error: unknown) => void one.faults.push(`the audit failed: ${error}`))),
    );
  }

  /** Acknowledgements that were answered, of each group. */
  get acks(): readonly number[] {
    return this.groups.map(({ checker }) => checker.acks);
  }

  get anomalies(): readonly string[] {
    return this.all.flatMap(({ checker }) => checker.anomalies.map(({ kind, text }) => `${kind}: ${text}`));
  }

  get faults(): readonly string[] {
    return this.all.flatMap(({ faults }) => faults);
  }

  /** Figures, a line each. */
  get text(): string {
    return this.all.map(({ text }) => text).join('\n');
  }
}
