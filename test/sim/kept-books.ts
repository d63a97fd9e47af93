// The books of a topic that keeps so many bytes, and who says how many. Nothing of it expires while all that came
// behind it, and the run that it lay in, are not more than that.
import type { Connection } from '../../src/client/connection.ts';
import { bodyOf } from '../../torture/message.ts';
import type { Books } from './books.ts';
import { LossyBooks } from './lossy-books.ts';
import { Role, type RoleContext } from './roles.ts';

const MIB = 2 ** 20;
/** Each message has a property that is as long as that: a mebibyte is there soon. */
const FILL_BYTES = 14_000;
/** What a message takes in the log besides its body and that property, at most. */
const AROUND_BYTES = 400;
/** The longest run: as a block. */
const RUN_MAX_BYTES = 128 * 1024;

export class KeptBooks extends LossyBooks {
  override readonly fill = { fill: 'x'.repeat(FILL_BYTES) };
  private readonly begunAt = new Map<string, number>();
  /** The least that anybody asked for. */
  private keptBytes = Number.POSITIVE_INFINITY;

  constructor(books: Books, topic: string, partitions: number) {
    super(books, topic, partitions, { volatile: false, retentionMs: 0 });
  }

  /** Of each partition. */
  keeps(bytes: number): void {
    this.tick(`${bytes} bytes of ${this.topic} are to be kept`);
    this.keptBytes = Math.min(this.keptBytes, bytes);
  }

  /** Somebody has seen that nothing before `oldest` is left. */
  begun(place: string, oldest: number): void {
    if (oldest <= (this.begunAt.get(place) ?? 0)) return;
    this.begunAt.set(place, oldest);
    this.tick(`${place} begins at ${oldest}`);
    this.tooEarly(place, 0, oldest);
  }

  protected override tooEarly(place: string, _from: number, to: number): void {
    let behind = RUN_MAX_BYTES;
    for (const { id } of this.sent.values()) {
      const at = this.placeOf.get(id);
      if (at !== undefined && (at.place !== place || at.offset < to)) continue;
      const [producer, sequence] = id.split(':').map(Number);
      behind += bodyOf(producer, sequence).length + FILL_BYTES + AROUND_BYTES;
    }
    if (behind > this.keptBytes) return;
    this.books.fault(`expired: ${place} up to ${to}, with ${behind} bytes of ${this.keptBytes} behind it`);
  }
}

/** Says how much is kept, in the middle of the run, and looks what is. */
export class Keeper extends Role {
  private readonly kept: KeptBooks;

  constructor(context: RoleContext, kept: KeptBooks) {
    super(context);
    this.kept = kept;
  }

  protected started(_connection: Connection): void {}

  turn(): void {
    const { world } = this.context;
    const { connection } = this;
    if (this.quiet || !connection || this.underWay + this.lookUps > 0 || world.random(20) > 0) return;
    if (world.chance(60)) this.look(connection);
    else this.ask(connection, world.chance(80) ? MIB : 2 * MIB);
  }

  private look(connection: Connection): void {
    const { kept } = this;
    this.follow(
      connection.route(kept.topic),
      ({ partitions }) => {
        for (const { number, oldestOffset } of partitions) kept.begun(`${kept.topic}/${number}`, oldestOffset);
      },
      (code) => this.unexpected('route', code),
      false,
    );
  }

  private ask(connection: Connection, bytes: number): void {
    const { kept } = this;
    kept.keeps(bytes);
    this.follow(
      connection.setRetention(kept.topic, { retentionBytes: bytes * kept.partitions }),
      () => {},
      (code) => this.unexpected('setRetention', code),
    );
  }
}
