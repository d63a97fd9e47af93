// The figures that the broker publishes every second, as the page reads them off the topic.
import type { SystemSample } from '../system-metrics.ts';

export type Figures = SystemSample;

const PARTS = ['broker', 'cpu', 'memory', 'eventLoop', 'totals', 'rates', 'partitions', 'seats'] as const;

/** Checks that a message is such a sample: anybody may publish on a topic. */
export function readFigures(value: unknown): Figures {
  const sample = value as Partial<Figures> | null;
  if (typeof sample !== 'object' || sample === null || typeof sample.at !== 'number') {
    throw new Error('a message that holds no figures');
  }
  const missing = PARTS.find((part) => typeof sample[part] !== 'object' || sample[part] === null);
  if (missing !== undefined) throw new Error(`figures without ${missing}`);
  return sample as Figures;
}

/** Threads that gave a sign of life within the last second. */
export function threadsAlive(figures: Figures): number {
  return figures.seats.filter((seat) => seat.alive).length;
}

/** The roles of all threads: `nameserver, 2 × broker, frontend`. */
export function threadRoles(figures: Figures): string {
  const counts = new Map<string, number>();
  for (const { role } of figures.seats) counts.set(role, (counts.get(role) ?? 0) + 1);
  return [...counts].map(([role, times]) => (times > 1 ? `${times} × ${role}` : role)).join(', ');
}
