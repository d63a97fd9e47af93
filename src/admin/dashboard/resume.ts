// What a stream missed while the connection was away, from offsets alone: where it stood in every partition when the
// connection was lost, where the partitions ended when it was back, and what was delivered in between.
//
// I1  caughtUp + lost is what was published in between: the sum over all partitions of end - start.
// I2  Only offsets that were really delivered count as caught up.
import type { PartitionPosition } from '../../wire/commands.ts';
import { count, duration, plural } from './format.ts';

/** How a stream came back. */
export interface ResumeResult {
  readonly topic: string;
  readonly caughtUp: number;
  /** Offsets that were not delivered and will not be. */
  readonly lost: number;
  /** Messages that were delivered a second time. */
  readonly repeated: number;
  /** A partition was made anew: its old offsets mean nothing any more. */
  readonly anew: boolean;
}

/** A partition's next offset, as the broker says after the connection is back. */
export interface PartitionHead {
  readonly number: number;
  readonly epoch: number;
  readonly nextOffset: number;
}

interface Track {
  readonly epoch: number;
  readonly start: number;
  next: number;
  repeated: number;
  anew: boolean;
  /** Runs of offsets that were stepped over: from, to. */
  readonly missing: (readonly [number, number])[];
}

export class ResumeAccount {
  readonly topic: string;
  private readonly tracks = new Map<number, Track>();
  private heads: readonly PartitionHead[] | undefined;

  /** `positions`: where the stream stood when the connection was lost. */
  constructor(topic: string, positions: readonly PartitionPosition[]) {
    this.topic = topic;
    for (const { partition, epoch, offset } of positions) this.track(partition, epoch, offset);
  }

  /** One message has come. HOT */
  delivered(partition: number, epoch: number, offset: number): void {
    const track = this.tracks.get(partition) ?? this.track(partition, epoch, offset);
    if (epoch !== track.epoch) track.anew = true;
    if (track.anew) return;
    if (offset < track.next) {
      track.repeated++;
      return;
    }
    if (offset > track.next) track.missing.push([track.next, offset]);
    track.next = offset + 1;
  }

  /** Messages before offset `to` will not come any more. */
  gap(partition: number, to: number): void {
    const track = this.tracks.get(partition);
    if (track === undefined || to <= track.next) return;
    track.missing.push([track.next, to]);
    track.next = to;
  }

  /** The connection is back, and this is where the partitions end now. */
  back(heads: readonly PartitionHead[]): void {
    this.heads = heads;
  }

  /** The result, once everything up to the heads is accounted for. */
  result(): ResumeResult | undefined {
    if (this.heads === undefined) return undefined;
    const sum = { caughtUp: 0, lost: 0, repeated: 0, anew: false };
    for (const { number, epoch, nextOffset } of this.heads) {
      const track = this.tracks.get(number);
      if (track === undefined) continue;
      sum.repeated += track.repeated;
      if (track.anew || epoch !== track.epoch) {
        sum.anew = true;
        continue;
      }
      if (track.next < nextOffset) return undefined;
      const lost = track.missing.reduce((total, [from, to]) => total + overlap(from, to, nextOffset), 0);
      sum.lost += lost;
      sum.caughtUp += Math.max(0, nextOffset - track.start) - lost;
    }
    return { topic: this.topic, ...sum };
  }

  private track(partition: number, epoch: number, offset: number): Track {
    const track = { epoch, start: offset, next: offset, repeated: 0, anew: false, missing: [] };
    this.tracks.set(partition, track);
    return track;
  }
}

/** The sentence under the header. */
export function resumeText(results: readonly ResumeResult[], awayMs: number): string {
  const total = (of: 'caughtUp' | 'lost' | 'repeated'): number => results.reduce((sum, one) => sum + one[of], 0);
  const parts = [`${plural(total('caughtUp'), 'message')} caught up`, `${count(total('lost'))} lost`];
  if (total('repeated') > 0) parts.push(`${count(total('repeated'))} delivered twice`);
  const anew = results.filter((one) => one.anew).map((one) => one.topic);
  if (anew.length > 0) parts.push(`${anew.join(', ')} was made anew meanwhile`);
  return `resumed after ${duration(awayMs)}: ${parts.join(', ')}`;
}

/** The same per topic. */
export function resumeDetail(results: readonly ResumeResult[]): string {
  return results.map((one) => `${one.topic}: ${count(one.caughtUp)} caught up, ${count(one.lost)} lost`).join(' · ');
}

/** How much of a run lies before `end`. */
function overlap(from: number, to: number, end: number): number {
  return Math.max(0, Math.min(to, end) - from);
}
