// The threads that talk to the NameServer: their lanes, what they have asked about, what could not be sent yet.
import { SEAT_NAMESERVER, SEAT_STATES, SEATS_MAX } from '../../native-layout/control.ts';
import type { Bells } from '../memory/bell.ts';
import { LaneReader, LaneWriter } from '../memory/lane.ts';
import { laneBack, laneTo, type Regions } from '../memory/regions.ts';
import { seatState } from '../memory/seats.ts';
import { tryPutFrame } from '../thread/control-lane.ts';
import { encodeFrame } from '../wire/codec.ts';
import type { CommandOf, Frame } from '../wire/commands.ts';

export interface Client {
  readonly seat: number;
  readonly there: LaneReader;
  readonly back: LaneWriter;
  /** Topics that this thread has asked about. */
  readonly topics: Set<string>;
  /** Reply topics that it made: they end with it. */
  readonly replyTopics: Set<string>;
  /** Answers, and news by topic, that did not fit into the lane back. */
  readonly unsent: Map<string | number, Frame>;
}

export class Clients {
  private readonly regions: Regions;
  private readonly bells: Bells;
  private readonly bySeat: (Client | undefined)[] = new Array(SEATS_MAX).fill(undefined);

  constructor(regions: Regions, bells: Bells) {
    this.regions = regions;
    this.bells = bells;
  }

  at(seat: number): Client {
    let client = this.bySeat[seat];
    if (client === undefined) {
      const { laneWords, laneBytes, sizes } = this.regions;
      client = {
        seat,
        there: new LaneReader(laneWords, laneBytes, laneTo(sizes, seat, SEAT_NAMESERVER)),
        back: new LaneWriter(laneWords, laneBytes, laneBack(sizes, seat, SEAT_NAMESERVER)),
        topics: new Set(),
        replyTopics: new Set(),
        unsent: new Map(),
      };
      this.bySeat[seat] = client;
    }
    return client;
  }

  isDead(client: Client): boolean {
    return seatState(this.regions.control, client.seat) === SEAT_STATES.dead;
  }

  forget(client: Client): void {
    this.bySeat[client.seat] = undefined;
  }

  /** Tells everybody who asked about the topic. */
  tell(news: CommandOf<'route-changed'>): void {
    for (const client of this.bySeat) {
      if (!client?.topics.has(news.topic)) continue;
      if (news.deleted) client.topics.delete(news.topic);
      this.send(client, { correlation: 0, command: news });
    }
  }

  send(client: Client, frame: Frame): void {
    const { correlation, command } = frame;
    if (this.isDead(client)) return;
    if (!tryPutFrame(client.back, encodeFrame(frame))) {
      client.unsent.set(command.type === 'route-changed' ? command.topic : correlation, frame);
      return;
    }
    client.back.publish();
    this.bells.ring(client.seat);
  }

  /** Sends what did not fit before. False while something still does not. */
  sendUnsent(client: Client): boolean {
    for (const [key, frame] of client.unsent) {
      client.unsent.delete(key);
      this.send(client, frame);
      if (client.unsent.has(key)) return false;
    }
    return true;
  }

  sendAllUnsent(): void {
    for (const client of this.bySeat) if (client) this.sendUnsent(client);
  }
}
