// What a simple consumer says of messages, on its way to the coordinator: calls of one turn travel together, a few
// calls are under way at once, and what comes while those wait travels in the next one.
import { RingmqError } from '../base/codes.ts';
import type { Call, Settle } from '../wire/services.ts';
import { GatheredCalls } from './gathered-calls.ts';
import type { Lease, LeasedQueue } from './leased-message.ts';

export const ACK = 0;
export const NACK = 1;
export const EXTENSION = 2;
export type Verdict = typeof ACK | typeof NACK | typeof EXTENSION;

/** Messages in one call. */
const BATCH_MAX = 4_096;
/** A coordinator that is being started again, or a connection that was lost: tried again for so long. */
const INSIST_MS = 10_000;
const AGAIN_MS = 100;

interface Entry {
  readonly lease: Lease;
  readonly verdict: Verdict;
  readonly delayMs: number;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

export class Settlements {
  private readonly call: Call;
  private readonly group: string;
  private readonly topic: string;
  private readonly calls = new GatheredCalls<Entry>(BATCH_MAX, (batch) => this.send(batch));

  constructor(call: Call, group: string, topic: string) {
    this.call = call;
    this.group = group;
    this.topic = topic;
  }

  /** Settles when the coordinator has it. Rejects with `stale-lease`. */
  add(lease: Lease, verdict: Verdict, delayMs: number): Promise<void> {
    return new Promise((resolve, reject) => this.calls.add({ lease, verdict, delayMs, resolve, reject }));
  }

  /** Everything that was said is answered. */
  drained(): Promise<void> {
    return this.calls.drained();
  }

  private async send(batch: readonly Entry[]): Promise<void> {
    const { params, places } = this.paramsOf(batch);
    try {
      const stale = await this.settle(params);
      if (stale.every((offsets) => offsets.length === 0)) {
        for (const { resolve } of batch) resolve();
        return;
      }
      const sets = stale.map((offsets) => new Set(offsets));
      batch.forEach((entry, i) => {
        if (sets[places[i]]?.has(entry.lease.offset)) entry.reject(staleLease(entry.lease));
        else entry.resolve();
      });
    } catch (error) {
      for (const { reject } of batch) reject(error);
    }
  }

  private async settle(params: Settle): Promise<readonly (readonly number[])[]> {
    const deadline = performance.now() + INSIST_MS;
    for (;;) {
      try {
        return (await this.call('settle', params)).result.stale;
      } catch (error) {
        const code = error instanceof RingmqError ? error.code : 'internal';
        const isAway = code === 'coordinator-unavailable' || code === 'connection-lost';
        if (!isAway || performance.now() >= deadline) throw error;
        await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
      }
    }
  }

  /** `places`: of each entry, the index of its queue. */
  private paramsOf(batch: readonly Entry[]): { readonly params: Settle; readonly places: readonly number[] } {
    const queues: { topic: string; partition: number; acks: number[]; nacks: number[]; extensions: number[] }[] = [];
    const places: number[] = [];
    let last: LeasedQueue | undefined;
    let place = -1;
    for (const { lease, verdict, delayMs } of batch) {
      const { queue, offset, token } = lease;
      if (queue !== last) {
        last = queue;
        const { topic, partition } = queue;
        place = queues.findIndex((one) => one.partition === partition && one.topic === topic);
        if (place < 0) place = queues.push({ topic, partition, acks: [], nacks: [], extensions: [] }) - 1;
      }
      places.push(place);
      const own = queues[place];
      if (verdict === ACK) own.acks.push(offset, token);
      else if (verdict === NACK) own.nacks.push(offset, token, delayMs);
      else own.extensions.push(offset, token, delayMs);
    }
    return { params: { group: this.group, topic: this.topic, queues }, places };
  }
}

function staleLease({ queue, offset }: Lease): RingmqError {
  const what = `the lease of offset ${offset} of ${queue.topic}/${queue.partition}`;
  const text = `${what} ran out or was settled before: the message may be with somebody else now`;
  return new RingmqError('stale-lease', text);
}
