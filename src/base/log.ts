// The log: pino on standard error, one line a fact. Levels and silence come from the options.
import { destination, type Logger, pino } from 'pino';

export type Log = Logger;

/** A log of the given level; `silent` writes nothing. */
export function makeLog(level: string): Log {
  return pino({ name: 'ringmq', level, base: { name: 'ringmq' } }, destination({ fd: 2, sync: true }));
}
