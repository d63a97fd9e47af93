// `ringmq pub --delay` and `--at`: what is sent goes to the broker's timers instead of the topic.
import { Command } from 'commander';
import { RingmqError } from '../base/codes.ts';
import type { MessageExtras, Producer } from '../client/connection.ts';
import type { ScheduledReceipt } from '../client/messaging.ts';
import type { WsConnection } from '../client/ws-connection.ts';
import { EXIT, EXIT_HELP, say } from './exit.ts';
import { type ClientOptions, withClientOptions } from './options.ts';
import { momentText } from './times.ts';
import { line } from './topic-text.ts';
import { using } from './using.ts';

/** What a run of `pub` sends with. */
export type Sender = Pick<Producer, 'ready' | 'trySend' | 'flush'>;

/** When messages shall be delivered: after so many milliseconds, or at a time. */
export type Later = { readonly delayMs: number } | { readonly deliverAt: number };

/** Messages that are not answered yet. */
const UNDER_WAY_MAX = 4_096;
/** Handles that are shown to people. */
const SHOWN = 3;

export class LaterSender implements Sender {
  private readonly connection: WsConnection;
  private readonly topic: string;
  private readonly later: Later;
  private readonly asJson: boolean;
  private readonly waiting: (() => void)[] = [];
  private underWay = 0;
  private answered = 0;
  private error: unknown;

  constructor(connection: WsConnection, topic: string, later: Later, asJson: boolean) {
    this.connection = connection;
    this.topic = topic;
    this.later = later;
    this.asJson = asJson;
  }

  async ready(): Promise<void> {
    while (this.underWay >= UNDER_WAY_MAX) await new Promise<void>((resolve) => this.waiting.push(resolve));
    if (this.error) throw this.error;
  }

  trySend(body: Uint8Array | string, extras?: MessageExtras): boolean {
    if (this.underWay >= UNDER_WAY_MAX || this.error) return false;
    this.underWay++;
    this.connection
      .schedule(this.topic, body, { ...extras, ...this.later })
      .then(
        (receipt) => this.stored(receipt),
        (error: unknown) => {
          this.error ??= error;
        },
      )
      .finally(() => {
        this.underWay--;
        for (const wake of this.waiting.splice(0)) wake();
      });
    return true;
  }

  async flush(): Promise<void> {
    while (this.underWay > 0) await new Promise<void>((resolve) => this.waiting.push(resolve));
    if (this.error) throw this.error;
    const more = this.answered - SHOWN;
    if (!this.asJson && more > 0) say(`... and ${more} more; --json prints the handles of all of them`);
  }

  private stored({ topic, deliverAt, handle }: ScheduledReceipt): void {
    this.answered++;
    if (this.asJson) process.stdout.write(line({ topic, deliverAt, handle }));
    else if (this.answered <= SHOWN) {
      say(`delivered at ${momentText(deliverAt)}; to take it back: ringmq recall ${handle}`);
    }
  }
}

/** Throws `illegal-argument` for what does not go with a delay. */
export function laterOf(options: {
  readonly delay?: number;
  readonly at?: number;
  readonly ack?: string;
  readonly partition?: number;
}): Later | undefined {
  const { delay, at, ack, partition } = options;
  if (delay === undefined && at === undefined) return undefined;
  if (delay !== undefined && at !== undefined) refuse('--delay and --at both say when: choose one');
  if (ack !== undefined) refuse('--ack does not go with --delay or --at: what is delayed is always stored first');
  if (partition !== undefined) refuse('--partition does not go with --delay or --at: use --key to keep an order');
  return delay === undefined ? { deliverAt: at as number } : { delayMs: delay };
}

const RECALL_EXAMPLES = `
Examples:
  ringmq pub orders --delay 1h --message hello      prints the handle of the message
  ringmq recall HANDLE                              before it is delivered
`;

export function recallCommand(done: (code: number) => void): Command {
  const command = new Command('recall')
    .description('take a delayed message back')
    .argument('<handle>', 'as printed by ringmq pub --delay');
  return withClientOptions(command)
    .addHelpText('after', RECALL_EXAMPLES + EXIT_HELP)
    .action((handle: string, options: ClientOptions) =>
      using(options, async (connection) => {
        await connection.recall(handle);
        return options.json ? line({ handle, recalled: true }) : 'recalled: it will not be delivered\n';
      }).then(() => done(EXIT.ok)),
    );
}

function refuse(text: string): never {
  throw new RingmqError('illegal-argument', text);
}
