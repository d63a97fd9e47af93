// Whether a broker goes on after one of its threads has died: everybody who waits must get an answer again in time.
import type { Server } from './server.ts';
import { pause } from './topic-reader.ts';

/** After a thread has died all clients get answers again within this time. */
const GOES_ON_MAX_MS = 20_000;
const LOOK_MS = 10;

export interface GoesOnOptions {
  readonly server: Pick<Server, 'alive'>;
  /** Counts of answers, one for each kind of client: every one of them must grow. */
  readonly answers: () => readonly number[];
  /** Default 20,000. */
  readonly maxMs?: number | undefined;
  readonly now?: () => number;
  readonly pause?: (ms: number) => Promise<void>;
}

/** Undefined: all got answers again, or the process died meanwhile; else the counts, before and after. */
export async function goesOn(options: GoesOnOptions): Promise<string | undefined> {
  const { server, answers, maxMs = GOES_ON_MAX_MS, now = () => performance.now(), pause: rest = pause } = options;
  const before = answers();
  const waits = (): boolean => answers().some((count, i) => count <= before[i]);
  for (const deadline = now() + maxMs; server.alive && waits() && now() < deadline; ) await rest(LOOK_MS);
  return server.alive && waits() ? `${before} before, ${answers()} ${maxMs} ms later` : undefined;
}
