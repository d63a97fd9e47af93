// What waits in the coordinator just now, for metrics.
import type { CoordinatorFigures } from '../wire/services.ts';
import type { Handlers, Service } from './service.ts';

/** Whose figures they are. */
export interface Waiting {
  readonly pending: number;
}

export class FiguresDesk implements Service {
  readonly handlers: Handlers = { 'coordinator-figures': () => ({ result: this.figures() }) };
  private readonly timers: Waiting;
  private readonly transactions: Waiting;

  constructor(timers: Waiting, transactions: Waiting) {
    this.timers = timers;
    this.transactions = transactions;
  }

  start(): void {}

  housekeep(): void {}

  async stop(): Promise<void> {}

  private figures(): CoordinatorFigures {
    return { timers: this.timers.pending, halfMessages: this.transactions.pending };
  }
}
