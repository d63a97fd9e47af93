// Lanes: one producer, one consumer, frames of several sizes, so that the wrap mark falls in between.
import { LANE_CONTROL_BYTES, LANE_HEAD, LANE_TAIL } from '../../../native-layout/lane.ts';
import { Bells, Doorbell } from '../../../src/memory/bell.ts';
import { FULL, LaneReader, LaneWriter, NONE } from '../../../src/memory/lane.ts';
import type { Actor, Scenario, World } from '../engine.ts';
import { CONTROL_BYTES, check, STARTS, type Start } from './support.ts';

const CAPACITY = 64;
const PLACE = { byte: 0, capacity: CAPACITY };
const REGIONS = { lane: LANE_CONTROL_BYTES + CAPACITY };
const PRODUCER = 2;
const CONSUMER = 3;

function fill(writer: LaneWriter, sequence: number, length: number): number {
  const at = writer.tryClaim(length);
  if (at === FULL) return FULL;
  for (let word = 1; word < length / 4; word++) writer.words[(at >> 2) + word] = sequence * 100 + word;
  writer.words[at >> 2] = length;
  writer.commit(length);
  return at;
}

/** Reads the frame that look() found; gives its sequence. */
function verify(reader: LaneReader, at: number): number {
  const length = reader.frameLength;
  const sequence = Math.floor(reader.words[(at >> 2) + 1] / 100);
  for (let word = 1; word < length / 4; word++) {
    check(reader.words[(at >> 2) + word] === sequence * 100 + word, 'a frame has foreign bytes');
  }
  return sequence;
}

/** Sends frames of `lengths`, giving up on one after `tries` answers of FULL. Returns how many were sent. */
function sender(lengths: readonly number[], tries: number): (world: World) => number {
  return ({ at }) => {
    const writer = new LaneWriter(at.lane.words, at.lane.bytes, PLACE);
    for (const [sequence, length] of lengths.entries()) {
      let left = tries;
      while (fill(writer, sequence, length) === FULL) if (--left === 0) return sequence;
      check(writer.publish(), 'publish must have news');
    }
    return lengths.length;
  };
}

/** Looks `looks` times; releases after every `batch` frames. Returns how many frames it got. */
function receiver(lengths: readonly number[], looks: number, batch: number): (world: World) => number {
  return ({ at }) => {
    const reader = new LaneReader(at.lane.words, at.lane.bytes, PLACE);
    let next = 0;
    for (let look = 0; look < looks; look++) {
      const frame = reader.look();
      if (frame === NONE) continue;
      check(reader.frameLength === lengths[next], 'I1: a frame comes with its own length, in order');
      check(verify(reader, frame) === next, 'I1: frames come in the order they were sent');
      reader.consume();
      next++;
      if (next % batch === 0) reader.release();
    }
    reader.release();
    return next;
  };
}

function begin(start: Start): (at: World['at']) => void {
  return ({ lane }) => {
    lane.words[LANE_TAIL] = start.position;
    lane.words[LANE_HEAD] = start.position;
  };
}

function bounded(start: Start, lengths: readonly number[], batch: number): Scenario {
  return {
    name: `lane: frames of ${lengths.join(' ')} bytes over the wrap, released by ${batch}, from ${start.name}`,
    regions: REGIONS,
    setup: begin(start),
    actors: [
      { name: 'producer', run: sender(lengths, 2) },
      { name: 'consumer', run: receiver(lengths, lengths.length + 1, batch) },
    ],
    finish: (_at, [sent, got]) => check((got as number) <= (sent as number), 'nothing is read that was not sent'),
  };
}

/** Both ends sleep on their bells when they have nothing to do: every frame must arrive. */
function sleepy(start: Start, lengths: readonly number[]): Scenario {
  const producer: Actor = {
    name: 'producer',
    run: ({ at }) => {
      const writer = new LaneWriter(at.lane.words, at.lane.bytes, PLACE);
      const own = new Doorbell(at.control.words, PRODUCER);
      const bells = new Bells(at.control.words);
      for (const [sequence, length] of lengths.entries()) {
        while (fill(writer, sequence, length) === FULL) {
          own.park();
          if (fill(writer, sequence, length) !== FULL) {
            own.unpark();
            break;
          }
          own.wait(1000);
        }
        writer.publish();
        bells.ring(CONSUMER);
      }
    },
  };
  const consumer: Actor = {
    name: 'consumer',
    run: ({ at }) => {
      const reader = new LaneReader(at.lane.words, at.lane.bytes, PLACE);
      const own = new Doorbell(at.control.words, CONSUMER);
      const bells = new Bells(at.control.words);
      for (let next = 0; next < lengths.length; ) {
        const frame = reader.look();
        if (frame !== NONE) {
          check(verify(reader, frame) === next++, 'I1: frames come in the order they were sent');
          reader.consume();
          reader.release();
          bells.ring(PRODUCER);
          continue;
        }
        own.park();
        if (reader.hasNews) own.unpark();
        else own.wait(1000);
      }
      return lengths.length;
    },
  };
  return {
    name: `lane: both ends sleep, ${lengths.length} frames, from ${start.name}`,
    regions: { ...REGIONS, control: CONTROL_BYTES },
    setup: begin(start),
    actors: [producer, consumer],
    finish: (_at, results) => check(results[1] === lengths.length, 'every frame arrives'),
  };
}

/** I3: the producer dies anywhere; a successor on the same lane goes on, and no frame is half seen. */
function heir(start: Start): Scenario {
  const lengths = [24, 32, 24];
  return {
    name: `lane: the producer dies and a successor goes on, from ${start.name}`,
    regions: REGIONS,
    setup: begin(start),
    actors: [
      { name: 'producer', mortal: true, run: sender(lengths, 2) },
      {
        name: 'successor',
        after: 'producer',
        run: ({ at }) => {
          const writer = new LaneWriter(at.lane.words, at.lane.bytes, PLACE);
          if (fill(writer, 9, 16) !== FULL) writer.publish();
        },
      },
      {
        name: 'consumer',
        run: ({ at }) => {
          const reader = new LaneReader(at.lane.words, at.lane.bytes, PLACE);
          let last = -1;
          for (let look = 0; look < 4; look++) {
            const frame = reader.look();
            if (frame === NONE) continue;
            const sequence = verify(reader, frame);
            check(sequence === last + 1 || sequence === 9, 'I3: a dead producer leaves whole frames only');
            last = sequence;
            reader.consume();
            reader.release();
          }
        },
      },
    ],
  };
}

export const LANE_SCENARIOS: readonly Scenario[] = STARTS.flatMap((start) => [
  bounded(start, [24, 32, 16, 24], 1),
  bounded(start, [16, 24, 32, 8, 24], 2),
  bounded(start, [24, 24, 32, 16], 1),
  sleepy(start, [32, 24, 32]),
  heir(start),
]);
export const LANE_DEEP: readonly Scenario[] = STARTS.flatMap((start) => [
  bounded(start, [24, 32, 16, 24, 32, 8, 16], 1),
  sleepy(start, [32, 24, 32, 16]),
]);
