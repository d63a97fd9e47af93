// One front-end thread: sockets on one side, lanes and rings on the other. It publishes what clients send, sends them
// what is published, and passes their questions on to the NameServer.
import { threadId } from 'node:worker_threads';
import { CONTROL_STATES } from '../../native-layout/control.ts';
import { RingmqError } from '../base/codes.ts';
import type { Log } from '../base/log.ts';
import { COUNTER, type Counters } from '../memory/counters.ts';
import type { Attachment } from '../memory/regions.ts';
import { brokerState } from '../memory/seats.ts';
import { MESSAGE_OVERHEAD_BYTES } from '../record/batch-builder.ts';
import { KeyFinder } from '../state/key-finder.ts';
import { steadyClock } from '../thread/agent.ts';
import type { Announcement } from '../thread/announcements.ts';
import { EventLoopDriver } from '../thread/loop.ts';
import { Participant } from '../thread/participant.ts';
import type { Command, CommandOf } from '../wire/commands.ts';
import { OWN_ROOM_BYTES } from '../wire/services.ts';
import { BinaryCommands } from './binary-commands.ts';
import { BinarySession } from './binary-session.ts';
import { Calls } from './calls.ts';
import { DRAIN_MS, type FrontEndConfig, HELLO_MS, STALL_MS } from './config.ts';
import type { Cursor } from './cursor.ts';
import { Feeds } from './feeds.ts';
import { FramePublisher } from './frame-publisher.ts';
import { JsonCommands } from './json-commands.ts';
import { JsonSession } from './json-session.ts';
import { LaterMessages } from './later-messages.ts';
import { LogQuestions } from './log-questions.ts';
import { MessageBatches } from './message-batches.ts';
import { sparingOwnTopics } from './own-topics.ts';
import { PartitionBook } from './partition-book.ts';
import { PublishDesk } from './publish-desk.ts';
import { Pulls } from './pulls.ts';
import { Queries } from './queries.ts';
import { ReplyTopics } from './reply-topics.ts';
import { RequestTable } from './request-table.ts';
import { Rings } from './rings.ts';
import { RouteBook } from './routes.ts';
import type { Session, SessionHost } from './session.ts';
import { Sessions } from './sessions.ts';
import { Subscriptions } from './subscriptions.ts';
import type { Socket } from './transport/transport.ts';
import { SUBPROTOCOLS } from './transport/transport.ts';

const POLL_MS = 5;

export class FrontEnd implements SessionHost {
  readonly participant: Participant;
  readonly counters: Counters;
  readonly desk: PublishDesk;
  readonly routes: RouteBook;
  private readonly rings: Rings;
  private readonly feeds: Feeds;
  readonly pulls: Pulls;
  /** Undefined if the broker keeps no data. */
  readonly questions: LogQuestions | undefined;
  readonly queries: Queries;
  private readonly keys: KeyFinder;
  readonly batches: MessageBatches;
  /** To the coordinator. */
  readonly calls: Calls;
  readonly later: LaterMessages;
  private readonly subscriptions: Subscriptions;
  private readonly sessions = new Sessions();
  private readonly replyTopics = new ReplyTopics((command) => this.ask(command));
  private readonly config: FrontEndConfig;
  private readonly log: Log;
  private readonly driver: EventLoopDriver;
  private readonly publisher: FramePublisher;
  private readonly commands: BinaryCommands;
  private readonly jsonCommands: JsonCommands;
  private readonly onStopped: () => void;
  /** For everything that has a limit: clients are not to suffer when somebody sets the clock. */
  private readonly steady = steadyClock();
  private sessionNumber = 0;
  private isStopping = false;

  /** `onStopped`: the broker is gone without having said so. Throws `seat-quota`. */
  constructor(attachment: Attachment, config: FrontEndConfig, version: string, log: Log, onStopped: () => void) {
    this.config = config;
    this.log = log;
    this.onStopped = onStopped;
    this.participant = this.join(attachment);
    const { participant } = this;
    this.counters = participant.counters;
    this.desk = new PublishDesk(participant, new RequestTable(), this.counters);
    this.publisher = new FramePublisher(this.desk, new PartitionBook(participant.regions), participant, this.counters);
    this.routes = new RouteBook(this.ask);
    this.rings = new Rings(participant, this.desk.requests);
    this.feeds = new Feeds(participant);
    this.questions = participant.history && new LogQuestions(participant.history, this.steady);
    const { feeds, rings, routes, questions } = this;
    this.keys = new KeyFinder(attachment.keysFolder, this.steady);
    this.queries = new Queries({
      regions: participant.regions,
      routes,
      questions,
      keys: this.keys,
      clock: this.steady,
    });
    this.pulls = new Pulls(feeds, rings, routes, questions, this.steady);
    this.subscriptions = new Subscriptions(feeds, rings, routes, questions, this.steady);
    this.calls = new Calls(this.askCoordinator);
    this.commands = new BinaryCommands({
      replyTopics: this.replyTopics,
      routes: this.routes,
      subscriptions: this.subscriptions,
      pulls: this.pulls,
      queries: this.queries,
      calls: this.calls,
      brokerName: config.brokerName,
      version,
      messageMaxBytes: participant.regions.sizes.laneBytes / 2 - OWN_ROOM_BYTES - MESSAGE_OVERHEAD_BYTES,
      clock: Date.now,
      welcomed: (session) => this.sessions.welcomed(session),
    });
    this.batches = new MessageBatches(participant, Date.now);
    this.later = new LaterMessages(this.askCoordinator, Date.now);
    this.jsonCommands = new JsonCommands({
      ask: this.ask,
      replyTopics: this.replyTopics,
      routes: this.routes,
      subscriptions: this.subscriptions,
      pulls: this.pulls,
      queries: this.queries,
      calls: this.calls,
      batches: this.batches,
      desk: this.desk,
      later: this.later,
      clock: Date.now,
      stopping: this.stopping,
    });
    this.driver = new EventLoopDriver(participant.doorbell, {
      work: () => this.work(),
      housekeep: () => this.housekeep(),
    });
    this.driver.hold(true);
  }

  /** Asks the NameServer. Rejects with what it refuses with. */
  readonly ask = async (command: Command): Promise<Command> => {
    if (this.isStopping) throw new RingmqError('shutting-down');
    return this.participant.control.request(sparingOwnTopics(command), performance.now());
  };

  /** Asks the coordinator. Rejects with what it refuses with, `timeout`, or `coordinator-unavailable`. */
  readonly askCoordinator = async (command: CommandOf<'call'>, timeoutMs: number): Promise<Command> => {
    if (this.isStopping) throw new RingmqError('shutting-down');
    return this.participant.coordinator.request(command, performance.now(), timeoutMs);
  };

  /** No new work is taken. */
  readonly stopping = (): boolean => this.isStopping;

  /** There is work for the next turn. */
  readonly kick = (): void => this.driver.kick();

  // The transport's side.

  opened(socket: Socket): void {
    const id = `${this.participant.seat}-${++this.sessionNumber}`;
    const session = this.makeSession(socket, id);
    socket.session = session;
    this.counters.add(COUNTER.connectionsOpened, 1);
  }

  /** HOT */
  message(socket: Socket, data: Uint8Array, binary: boolean): void {
    const session = socket.session as Session;
    if (session.closed) return;
    this.counters.add(COUNTER.framesIn, 1);
    session.message(data, binary);
    this.driver.kick();
  }

  drained(socket: Socket): void {
    this.sessions.drained(socket.session as Session);
    this.driver.kick();
  }

  closed(socket: Socket, code: number): void {
    const session = socket.session as Session;
    session.closed = true;
    this.sessions.remove(session);
    this.subscriptions.dropAll(session);
    this.routes.unwatchAll(session);
    this.calls.left(session);
    this.replyTopics.left(session);
    this.counters.add(COUNTER.connectionsClosed, 1);
    this.log.debug({ session: session.id, code }, 'session ended');
  }

  // The sessions' side.

  acksDue(session: Session): void {
    this.sessions.acksDue(session);
    this.driver.kick();
  }

  congested(session: Session): void {
    this.sessions.congested(session);
  }

  runnable(cursor: Cursor): void {
    this.feeds.run(cursor);
    this.driver.kick();
  }

  /** Refuses new work, and resolves when what was accepted is answered (a second at most). */
  async drain(): Promise<void> {
    this.isStopping = true;
    this.publisher.refusing = 'shutting-down';
    this.pulls.close();
    const deadline = this.steady() + DRAIN_MS;
    const { desk, participant } = this;
    const isDone = () => !desk.holds && desk.requests.pending === 0 && participant.lanesEmpty;
    while (!isDone() && this.steady() < deadline) {
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
    this.sessions.flushAcks();
  }

  /** Gives everything back. After the transport has closed. */
  close(): void {
    this.isStopping = true;
    this.driver.stop();
    this.subscriptions.close();
    this.rings.close();
    this.questions?.close();
    this.keys.close();
    this.feeds.close();
    this.participant.control.close();
    this.participant.close();
  }

  private join(attachment: Attachment): Participant {
    const participant: Participant = new Participant(attachment, 'frontend', threadId, {
      completion: (request, status, partition, baseOffset, count) =>
        this.desk.completed(request, status, partition, baseOffset, count),
      notice: (partition) => this.feeds.noticed(partition),
      room: () => {},
      announcement: (said) => this.heard(said),
    });
    participant.control.onNews = (command) => this.news(command);
    return participant;
  }

  private makeSession(socket: Socket, id: string): Session {
    if (socket.protocol === SUBPROTOCOLS.json) return new JsonSession(this, socket, id, this.jsonCommands);
    const session = new BinarySession(this, socket, id, this.publisher, this.commands);
    this.sessions.expectHello(session, this.steady() + (this.config.helloMs ?? HELLO_MS));
    return session;
  }

  /** One turn of the loop. HOT */
  private work(): number {
    this.desk.push(); // What frames brought since the last turn.
    let did = this.participant.work();
    did += this.desk.retry();
    this.sessions.flushAcks();
    did += this.feeds.work();
    if (did > 0) this.counters.add(COUNTER.turns, 1);
    return did;
  }

  private housekeep(): void {
    const now = this.steady();
    this.participant.housekeep();
    this.rings.housekeep(now);
    this.pulls.housekeep(now);
    this.questions?.housekeep();
    if (this.feeds.housekeep(now)) this.driver.kick();
    this.sessions.housekeep(now);
    for (const session of this.feeds.stalled(now, this.config.stallMs ?? STALL_MS)) {
      session.close('too-slow', 'the client took nothing for too long and held others up');
    }
    if (brokerState(this.participant.regions.control) === CONTROL_STATES.stopped) this.onStopped();
  }

  private news(command: Command): void {
    if (command.type !== 'route-changed') return;
    this.routes.spread(command);
    this.subscriptions.routeChanged(command);
  }

  private heard(said: Announcement): void {
    if (said.type === 'arena') this.rings.look();
    if (said.type === 'stopped') this.onStopped();
  }
}
