// The form that publishes: one message or many, with the receipt or the exact reason why not.
import type { Producer, SendReceipt } from '../../client/connection.ts';
import type { WsConnection } from '../../client/ws-connection.ts';
import { RECORD_FLAG_JSON } from '../../wire/json-text.ts';
import { byId, setText } from './elements.ts';
import { count, duration, plural } from './format.ts';
import { errorText } from './notices.ts';

const MESSAGES_MAX = 100_000;
const NUMBER_MARK = '{n}';
const RANGES_MAX = 8;

export class PublishForm {
  private readonly connection: WsConnection;
  private readonly onPublished: (topic: string) => void;
  private readonly form = byId<HTMLFormElement>('publish-form');
  private readonly topic = byId<HTMLInputElement>('publish-topic');
  private readonly result = byId('publish-result');
  private readonly button = byId<HTMLButtonElement>('publish-send');
  private producer: Producer | undefined;
  /** A person has written the name of the topic. */
  private written = false;

  constructor(connection: WsConnection, onPublished: (topic: string) => void) {
    this.connection = connection;
    this.onPublished = onPublished;
    this.topic.addEventListener('input', () => {
      this.written = true;
    });
    this.form.addEventListener('submit', (event) => {
      event.preventDefault();
      void this.submit();
    });
  }

  /** Fills in the topic, unless a person has written another one. */
  offer(topic: string): void {
    if (!this.written) this.topic.value = topic;
  }

  /** Fills in the topic that a person has chosen. */
  use(topic: string): void {
    this.written = false;
    this.offer(topic);
  }

  private async submit(): Promise<void> {
    this.button.disabled = true;
    this.tell('sending …', '');
    try {
      this.tell(await this.publish(), 'ok');
      this.onPublished(this.topic.value);
    } catch (error) {
      this.tell(errorText(error), 'bad');
    } finally {
      this.button.disabled = false;
    }
  }

  /** Resolves with the receipt as a sentence. */
  private async publish(): Promise<string> {
    const topic = this.topic.value;
    const times = this.times();
    const body = byId<HTMLTextAreaElement>('publish-body').value;
    const asJson = byId<HTMLSelectElement>('publish-kind').value === 'json';
    const bodies = Array.from({ length: times }, (_, n) => body.replaceAll(NUMBER_MARK, String(n)));
    if (asJson) checkJson(bodies[0]);
    const producer = await this.producerOf(topic);
    const startedAt = performance.now();
    const receipts = await producer.sendBatch(bodies, {
      key: byId<HTMLInputElement>('publish-key').value || undefined,
      tag: byId<HTMLInputElement>('publish-tag').value || undefined,
      flags: asJson ? RECORD_FLAG_JSON : 0,
    });
    return receiptText(receipts, performance.now() - startedAt);
  }

  private times(): number {
    const value = byId<HTMLInputElement>('publish-times').valueAsNumber;
    if (Number.isInteger(value) && value >= 1 && value <= MESSAGES_MAX) return value;
    throw new Error(`the number of messages must be from 1 to ${count(MESSAGES_MAX)}`);
  }

  private async producerOf(topic: string): Promise<Producer> {
    if (this.producer?.topic === topic) return this.producer;
    const old = this.producer;
    this.producer = undefined;
    await old?.close();
    const producer = this.connection.producer(topic);
    this.producer = producer;
    return producer;
  }

  private tell(text: string, className: string): void {
    this.result.className = className;
    setText(this.result, text);
  }
}

function checkJson(body: string): void {
  try {
    JSON.parse(body);
  } catch (error) {
    throw new Error(`the body is not JSON: ${(error as Error).message}`);
  }
}

/** `partition 2, offset 41`, or the run of offsets in every partition. */
function receiptText(receipts: readonly SendReceipt[], tookMs: number): string {
  const first = receipts[0];
  if (receipts.length === 1) return `accepted: partition ${first.partition}, offset ${first.offset}`;
  const runs = new Map<number, { from: number; to: number }>();
  for (const { partition, offset } of receipts) {
    const run = runs.get(partition);
    if (!run) runs.set(partition, { from: offset, to: offset });
    else {
      run.from = Math.min(run.from, offset);
      run.to = Math.max(run.to, offset);
    }
  }
  const parts = [...runs]
    .sort(([a], [b]) => a - b)
    .map(([partition, { from, to }]) => `${partition}: ${from} to ${to}`);
  const rest = parts.length > RANGES_MAX ? ' …' : '';
  const where = parts.slice(0, RANGES_MAX).join(', ');
  return `accepted ${plural(receipts.length, 'message')} in ${duration(tookMs)}; offsets by partition: ${where}${rest}`;
}
