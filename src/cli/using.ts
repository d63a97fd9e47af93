// How commands that ask and print one answer run.
import type { WsConnection } from '../client/ws-connection.ts';
import { type ClientOptions, connected } from './options.ts';

/** Prints what `use` makes of a connection that stands, and closes it. */
export async function using(options: ClientOptions, use: (connection: WsConnection) => Promise<string>): Promise<void> {
  const connection = await connected(options);
  try {
    process.stdout.write(await use(connection));
  } finally {
    await connection.close();
  }
}
