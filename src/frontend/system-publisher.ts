// Publishes `sys.metrics` once a second, like any other publisher of this thread.
import type { SystemMetrics } from '../admin/system-metrics.ts';
import { SYSTEM_METRICS_MS, SYSTEM_TOPIC, SYSTEM_TOPIC_RING_BYTES } from '../admin/system-metrics.ts';
import { RingmqError } from '../base/codes.ts';
import type { Log } from '../base/log.ts';
import { RECORD_FLAG_JSON, textBytes } from '../wire/json-text.ts';
import { HeldBatches } from './held-batches.ts';
import { type MessageBatches, submitAll } from './message-batches.ts';
import type { PublishDesk, Publisher } from './publish-desk.ts';
import type { Ask, RouteBook } from './routes.ts';

export interface SystemPublisherContext {
  readonly ask: Ask;
  readonly routes: RouteBook;
  readonly batches: MessageBatches;
  readonly desk: PublishDesk;
}

export class SystemPublisher implements Publisher {
  readonly held = new HeldBatches();
  private readonly context: SystemPublisherContext;
  private readonly metrics: SystemMetrics;
  private readonly log: Log;
  private readonly timer: NodeJS.Timeout;
  private busy = false;
  private complained = false;

  constructor(context: SystemPublisherContext, metrics: SystemMetrics, log: Log) {
    this.context = context;
    this.metrics = metrics;
    this.log = log;
    this.timer = setInterval(() => void this.publish(), SYSTEM_METRICS_MS);
  }

  /** Nobody waits for an acknowledgement. */
  answered(): void {}

  /** Makes the topic, before the first client could make one of that name with other settings. */
  async prepare(): Promise<void> {
    try {
      await this.createTopic();
    } catch (error) {
      if (!(error instanceof RingmqError)) throw error;
      // publish() tries again every second, and complains.
    }
  }

  close(): void {
    clearInterval(this.timer);
  }

  private async publish(): Promise<void> {
    if (this.busy) return;
    this.busy = true;
    try {
      const route = this.context.routes.known(SYSTEM_TOPIC) ?? (await this.createTopic());
      const body = textBytes(JSON.stringify(this.metrics.sample(Date.now())));
      const message = { key: '', tag: '', properties: {}, body, flags: RECORD_FLAG_JSON };
      const batches = this.context.batches.build(route, [message], { ack: 'none', request: () => 0 });
      submitAll(this.context.desk, this, batches);
    } catch (error) {
      if (!(error instanceof RingmqError)) throw error;
      // Once is enough: it is tried again every second.
      if (!this.complained) this.log.warn({ code: error.code, text: error.message }, `${SYSTEM_TOPIC} does not go out`);
      this.complained = true;
    } finally {
      this.busy = false;
    }
  }

  private async createTopic() {
    await this.context.ask({
      type: 'create-topic',
      topic: SYSTEM_TOPIC,
      partitions: 1,
      overflow: 'drop-oldest',
      ringBytes: SYSTEM_TOPIC_RING_BYTES,
      direct: false,
      durable: false,
      retentionMs: 0,
      retentionBytes: 0,
      ifNotExists: true,
    });
    return this.context.routes.fetch(SYSTEM_TOPIC, false);
  }
}
