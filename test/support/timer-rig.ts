// A timer desk in the test's own thread.
import { TimerDesk } from '../../src/coordinator/timer-desk.ts';
import type { Disk } from '../../src/log/disk.ts';
import { MemoryDisk } from '../../src/log/disk-memory.ts';
import { BatchBuilder, type RecordExtras } from '../../src/record/batch-builder.ts';
import { utf8 } from '../../src/record/text.ts';
import type { Broker } from '../../src/server/broker.ts';
import { ServiceRig, type ServiceRigOptions } from './service-rig.ts';

/** Often, so that tests meet them. */
const CHECKPOINT_MS = 20;

export interface Scheduled extends RecordExtras {
  readonly body: string;
  readonly deliverAt: number;
}

/** One batch of these messages. */
export function payloadOf(messages: readonly (RecordExtras & { readonly body: string })[]): Uint8Array {
  const builder = new BatchBuilder(1024 * 1024);
  for (const { body, ...extras } of messages) builder.tryAdd(utf8(body), extras, 1);
  builder.closePayload(false);
  return builder.bytes.slice(0, builder.length);
}

export interface TimerRigOptions extends ServiceRigOptions {
  readonly checkpointMs?: number;
}

export class TimerRig extends ServiceRig {
  readonly desk: TimerDesk;

  constructor(
    broker: Broker,
    disk: Disk = new MemoryDisk(),
    { checkpointMs = CHECKPOINT_MS, ...options }: TimerRigOptions = {},
  ) {
    super(broker, disk, options);
    this.desk = new TimerDesk(this.context, this.mover, checkpointMs);
    this.begin([this.mover, this.desk]);
  }

  async schedule(topic: string, messages: readonly Scheduled[]): Promise<readonly string[]> {
    const deliverAt = messages.map((one) => one.deliverAt);
    const answer = await this.desk.handlers.schedule?.({ topic, deliverAt }, payloadOf(messages), { seat: 0 });
    return answer?.result.handles ?? [];
  }

  async recall(handle: string): Promise<void> {
    await this.desk.handlers.recall?.({ handle }, new Uint8Array(0), { seat: 0 });
  }
}
