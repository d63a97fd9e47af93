// Reads a topic through, from the beginning up to where it ends now.
import { connect, type Message, RingmqError, type WsConnection } from '../src/client/node.ts';

const READ_MAX_MS = 60_000;
const LOOK_MS = 10;

/** Messages that stand in a topic; 0 for one that nobody has made. */
export async function lengthOf(connection: WsConnection, topic: string): Promise<number> {
  try {
    const { partitions } = await connection.route(topic);
    return partitions.reduce((sum, { nextOffset }) => sum + nextOffset, 0);
  } catch (error) {
    if (error instanceof RingmqError && error.code === 'unknown-topic') return 0;
    throw error;
  }
}

/** Hands on every message of a topic. Rejects if not all of them can be read. */
export async function readThrough(url: string, topic: string, take: (message: Message) => void): Promise<void> {
  const connection = connect(url);
  connection.onError(() => {});
  try {
    const length = await lengthOf(connection, topic);
    if (length === 0) return;
    let count = 0;
    const faults: string[] = [];
    const consumer = connection.consumer(topic, {
      from: 'earliest',
      onMessage: (message) => {
        count++;
        take(message);
      },
      onGap: (gap) => faults.push(`gap ${gap.from} to ${gap.to} (${gap.reason})`),
      onError: (error) => faults.push(error.message),
    });
    const deadline = Date.now() + READ_MAX_MS;
    while (count < length && faults.length === 0 && Date.now() < deadline) await pause(LOOK_MS);
    await consumer.close();
    if (count < length) throw new Error(`${topic}: ${count} of ${length} messages could be read ${faults.join(', ')}`);
  } finally {
    await connection.close();
  }
}

export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
