// A session of `ringmq.bin.v1`: frames of record batches both ways, and commands beside them.
import { CODES, type CodeName, RingmqError } from '../base/codes.ts';
import { COUNTER } from '../memory/counters.ts';
import { decodeFrame, encodeAck, encodeFrame } from '../wire/codec.ts';
import type { AckEntry, Command, CommandOf, PartitionStart } from '../wire/commands.ts';
import { CommandError, isCommand } from '../wire/frame.ts';
import type { BinaryCommands } from './binary-commands.ts';
import { FRAME_MAX_BYTES, MALFORMED_MAX } from './config.ts';
import type { Cursor } from './cursor.ts';
import type { FramePublisher } from './frame-publisher.ts';
import { Session, type SessionHost } from './session.ts';
import type { Span } from './span.ts';
import type { Subscription } from './subscription.ts';
import type { Socket } from './transport/transport.ts';

export class BinarySession extends Session {
  /** The client has said hello. */
  welcomed = false;
  private readonly publisher: FramePublisher;
  private readonly commands: BinaryCommands;
  private acks: AckEntry[] = [];
  private malformed = 0;

  constructor(host: SessionHost, socket: Socket, id: string, publisher: FramePublisher, commands: BinaryCommands) {
    super(host, socket, id);
    this.publisher = publisher;
    this.commands = commands;
  }

  /** HOT */
  message(data: Uint8Array, binary: boolean): void {
    if (!binary || data.length < 8 || data.length % 8 !== 0) {
      this.close('protocol-error', 'frames are binary and their length is a multiple of 8');
      return;
    }
    if (data.length > FRAME_MAX_BYTES) this.close('protocol-error', CODES['frame-too-large'].text);
    else if (isCommand(data)) this.command(data);
    else if (!this.welcomed) this.close('protocol-error', 'the first command of a session must be hello');
    else if (!this.publisher.publish(this, data)) {
      this.close('protocol-error', 'the frame is no run of record batches');
    }
  }

  answered(request: number, status: number, partition: number, count: number, baseOffset: number): void {
    if (this.acks.length === 0) this.host.acksDue(this);
    this.acks.push({ request, status, partition, count, baseOffset });
  }

  sendAcks(): void {
    const entries = this.acks;
    this.acks = [];
    if (entries.length > 0) this.send(encodeAck(entries));
  }

  /** HOT */
  deliver(span: Span, _cursor: Cursor): boolean {
    return this.sendDelivery(span.bytes());
  }

  sayGap(gap: CommandOf<'gap'>): void {
    this.say(0, gap);
  }

  saySubscribed(correlation: number, subscription: Subscription, starts: readonly PartitionStart[]): void {
    const { id, topic, topicId } = subscription;
    this.say(correlation, { type: 'subscribed', subscription: id, topic, topicId, starts });
  }

  sayRouteChanged(news: CommandOf<'route-changed'>): void {
    this.say(0, news);
  }

  refuse(correlation: number, code: CodeName, text: string): void {
    this.host.counters.add(COUNTER.refusals, 1);
    this.say(correlation, { type: 'refused', code, text });
  }

  /** Sends one command. */
  say(correlation: number, command: Command): void {
    if (!this.closed) this.send(encodeFrame({ correlation, command }));
  }

  private command(data: Uint8Array): void {
    let correlation = 0;
    try {
      const frame = decodeFrame(data);
      correlation = frame.correlation;
      this.commands.execute(this, correlation, frame.command);
    } catch (error) {
      if (!(error instanceof RingmqError)) throw error;
      if (error instanceof CommandError) this.unreadable(error);
      else this.refuse(correlation, error.code, error.message);
    }
  }

  /** A frame that cannot be answered, or one too many, ends the session. */
  private unreadable(error: CommandError): void {
    this.host.counters.add(COUNTER.protocolErrors, 1);
    if (error.correlation !== 0) this.refuse(error.correlation, error.code, error.message);
    if (error.correlation === 0 || ++this.malformed > MALFORMED_MAX) this.close('protocol-error', error.message);
  }
}
