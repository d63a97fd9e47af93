// What a mover does at a start: it publishes again what its predecessor did not finish, in the order in which that was
// begun.
import { type CodeName, RingmqError } from '../base/codes.ts';
import { insist } from './message-reader.ts';
import { type PlannedBatch, planBatches } from './move-batches.ts';
import { type MoveLog, settlePublished } from './move-log.ts';
import type { MoveOwner, OpenMove } from './open-move.ts';

export interface RecoveryHost {
  readonly log: MoveLog;
  readonly warn: (text: string) => void;
  /** The coordinator is being stopped. */
  isOver(): boolean;
  owner(move: OpenMove): MoveOwner | undefined;
  /** It was published before, or is given up. */
  settled(move: OpenMove): void;
  publish(move: OpenMove, batches: readonly PlannedBatch[]): void;
}

/** M5: not for good. The next start goes on with it. */
const STAYS_OPEN: ReadonlySet<CodeName> = new Set(['closed', 'internal']);

export async function recoverMoves(moves: readonly OpenMove[], host: RecoveryHost): Promise<void> {
  for (const move of moves) host.owner(move)?.recovered?.(move.source);
  await settlePublished(host.log, moves);
  for (const move of moves) {
    if (move.isSettled) {
      host.settled(move);
      continue;
    }
    try {
      const batches = await batchesOf(move, host);
      if (host.isOver()) return;
      host.publish(move, batches);
    } catch (error) {
      if (host.isOver()) return;
      cannotResolve(move, error, host);
    }
  }
}

/** The batches that were written down. Rejects with what is wrong for good. */
async function batchesOf(move: OpenMove, host: RecoveryHost): Promise<readonly PlannedBatch[]> {
  const owner = host.owner(move);
  if (owner === undefined) throw new RingmqError('internal', `nobody knows moves of kind ${move.source.kind}`);
  const payload = await insist(
    () => owner.resolve(move.source),
    () => host.isOver(),
  );
  const batches = planBatches(payload, move.plan, Number.MAX_SAFE_INTEGER);
  if (!move.fits(batches)) throw new RingmqError('log-damaged', 'the messages are not those that were to move');
  return batches;
}

function cannotResolve(move: OpenMove, error: unknown, { warn, settled }: RecoveryHost): void {
  const { topic, source } = move;
  const failure = error instanceof RingmqError ? error : new RingmqError('internal', String(error));
  const what = `a move to ${topic} cannot be finished (${JSON.stringify(source)})`;
  if (STAYS_OPEN.has(failure.code)) {
    warn(`${what}, the next start tries again: ${failure.message}`);
    return;
  }
  warn(`${what}: ${failure.message}`);
  for (let index = 0; index < move.parts.length; index++) move.settle(index, -1, failure.code);
  settled(move);
}
