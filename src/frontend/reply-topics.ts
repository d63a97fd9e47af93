// Topics for replies (`%REPLY%…`) end with the session that made them: here creations and deletions of sessions pass on
// their way to the NameServer. Those of a front end that dies are the NameServer's to end.
import type { Command } from '../wire/commands.ts';
import { REPLY_PREFIX } from '../wire/services.ts';
import type { Ask } from './routes.ts';

/** What a session has made. */
export interface RepliesOf {
  readonly closed: boolean;
  readonly replyTopics: Set<string>;
}

export class ReplyTopics {
  private readonly nameServer: Ask;

  constructor(nameServer: Ask) {
    this.nameServer = nameServer;
  }

  /** Asks the NameServer for a session. */
  async ask(session: RepliesOf, command: Command): Promise<Command> {
    const reply = await this.nameServer(command);
    if (command.type === 'create-topic' && command.topic.startsWith(REPLY_PREFIX)) {
      session.replyTopics.add(command.topic);
      if (session.closed) this.left(session);
    } else if (command.type === 'delete-topic') session.replyTopics.delete(command.topic);
    return reply;
  }

  /** The session has ended. */
  left(session: RepliesOf): void {
    for (const topic of session.replyTopics) {
      // Deleted already, or the broker stops: it ends anyway.
      this.nameServer({ type: 'delete-topic', topic }).catch(() => {});
    }
    session.replyTopics.clear();
  }
}
