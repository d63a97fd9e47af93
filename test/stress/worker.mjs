// A thread of the stress tests. workerData: { role, dist, seed, ... the regions }. It loads the built modules from
// `dist`, plays its role until it is told to stop, and posts { result } or { error }.
import { parentPort, workerData } from 'node:worker_threads';
import { demand, lengthOf, randomOf, verify, write } from './payload.mjs';

const { dist, seed, role, regions, options, sizes } = workerData;
const { DONE, LENGTH_MAX, NOTICE_ENTRIES, OWNER_SEAT, PRODUCER, PROGRESS } = sizes;
const { READER_SEAT, RING_CAPACITY, STOP, WAIT_MS } = sizes;
const load = (file) => import(new URL(file, dist).href);
const [bell, lane, notice, ringReader, ringWriter, batch] = await Promise.all([
  load('src/memory/bell.js'),
  load('src/memory/lane.js'),
  load('src/memory/notice.js'),
  load('src/memory/ring-reader.js'),
  load('src/memory/ring-writer.js'),
  load('native-layout/batch.js'),
]);
const random = randomOf(seed);
const views = Object.fromEntries(Object.entries(regions).map(([name, buffer]) => [name, new Int32Array(buffer)]));
const bells = new bell.Bells(views.control);
const nap = new Int32Array(new SharedArrayBuffer(4));
const ROLES = { laneProducer, laneConsumer, writer, reader, victim, player };

try {
  parentPort.postMessage({ result: ROLES[role]() });
} catch (error) {
  parentPort.postMessage({ error: `${role} (seed ${seed}): ${error.stack}` });
}

function stopped() {
  return Atomics.load(views.signals, STOP) !== 0;
}

/** Now and then something takes longer: a few instructions, or long enough to be taken off the core. */
function stall() {
  const dice = random() % 256;
  if (dice === 0) Atomics.wait(nap, 0, 0, 1);
  else if (dice < 16) for (let i = 0; i < dice * 64; i++) nap[0] = 0;
}

/** Sleeps until `hasNews`, which is looked at again after parking. */
function sleepUnless(door, hasNews) {
  door.park();
  stall();
  if (hasNews() || stopped()) {
    door.unpark();
    return;
  }
  const before = performance.now();
  door.wait(WAIT_MS);
  demand(performance.now() - before < WAIT_MS || stopped() || !hasNews(), 'a lost wake-up');
}

function laneProducer() {
  const end = new lane.LaneWriter(views.lane, new Uint8Array(views.lane.buffer), options.place);
  const door = new bell.Doorbell(views.control, OWNER_SEAT);
  let sequence = 0;
  while (!stopped()) {
    for (let left = 1 + (random() % 4); left > 0; left--) {
      const length = lengthOf(sequence, LENGTH_MAX);
      const at = end.tryClaim(length);
      if (at === lane.FULL) {
        if (end.publish()) bells.ring(READER_SEAT);
        sleepUnless(door, () => end.tryClaim(length) !== lane.FULL);
        break;
      }
      write(end.words, at >> 2, length, 1, PRODUCER, sequence++);
      stall();
      end.commit(length);
    }
    if (end.publish()) bells.ring(READER_SEAT);
  }
  Atomics.store(views.signals, DONE, 1);
  return sequence;
}

function laneConsumer() {
  const end = new lane.LaneReader(views.lane, new Uint8Array(views.lane.buffer), options.place);
  const door = new bell.Doorbell(views.control, READER_SEAT);
  let next = 0;
  for (;;) {
    const last = Atomics.load(views.signals, DONE) !== 0;
    for (let at = end.look(); at !== lane.NONE; at = end.look()) {
      stall();
      demand(verify(end.words, at >> 2, end.frameLength, 1, PRODUCER, LENGTH_MAX) === next++, 'a frame was lost');
      end.consume();
      if (random() % 3 === 0 && end.release()) bells.ring(OWNER_SEAT);
    }
    if (end.release()) bells.ring(OWNER_SEAT);
    if (last) return next;
    sleepUnless(door, () => end.hasNews);
  }
}

function place() {
  const words = views.ring;
  return { words, bytes: new Uint8Array(words.buffer), byte: 0, capacity: RING_CAPACITY };
}

function noticePlace(seat) {
  return { byte: (seat - READER_SEAT) * options.noticeBytes, capacity: NOTICE_ENTRIES * 4 };
}

function writer() {
  const ring = new ringWriter.RingWriter(views.table, 0, place(), options.overflow);
  const door = new bell.Doorbell(views.control, OWNER_SEAT);
  const notices = options.readers.map((seat) => new notice.NoticeWriter(views.notices, noticePlace(seat)));
  const news = (seat) => {
    notices[seat - READER_SEAT].push(0);
    stall();
    bells.ring(seat);
  };
  let sequence = 0;
  let blocked = 0;
  const show = () => {
    if (ring.publish(sequence)) ring.eachNews(news);
    Atomics.store(views.signals, PROGRESS, sequence);
  };
  while (!stopped()) {
    for (let left = 1 + (random() % 3); left > 0 && !stopped(); left--) {
      const length = lengthOf(sequence, LENGTH_MAX);
      const at = ring.tryClaim(length);
      if (at === lane.FULL) {
        show();
        blocked++;
        ring.setBlocked(true);
        sleepUnless(door, () => ring.tryClaim(length) !== lane.FULL);
        ring.setBlocked(false);
        continue;
      }
      write(ring.place.words, at >> 2, length, batch.MAGIC_WORD, PRODUCER, sequence++);
      stall();
      ring.commit(length);
    }
    show();
  }
  return { sequence, blocked };
}

/** Checks every batch of a pinned span twice, with a pause in between. Returns its length and its sequences. */
function checkSpan(reader, length) {
  const { words } = reader.place;
  const found = [];
  let bytes = 0;
  const limit = 1 + (random() % 4);
  while (bytes < length && found.length < limit) {
    const at = (reader.start + bytes) >> 2;
    if (words[at + 1] !== batch.MAGIC_WORD_PADDING) {
      found.push(verify(words, at, words[at], batch.MAGIC_WORD, PRODUCER, LENGTH_MAX));
      stall();
      verify(words, at, words[at], batch.MAGIC_WORD, PRODUCER, LENGTH_MAX);
    }
    bytes += words[at];
  }
  return { bytes, found };
}

function reader() {
  const { seat, holds } = options;
  const door = new bell.Doorbell(views.control, seat);
  const notices = new notice.NoticeReader(views.notices, noticePlace(seat));
  const tally = { read: 0, evictions: 0, joins: 0 };
  let next = -1;
  let mine = join();
  for (;;) {
    const last = stopped();
    while (notices.take() !== lane.NONE) mine.noticed();
    drain();
    if (last) return tally;
    sleepUnless(door, () => notices.hasNews);
  }

  function join() {
    const opened = ringReader.RingReader.tryOpen(views.table, 0, place(), bells, { seat, holds });
    demand(opened !== undefined, 'no slot');
    if (random() % 2 === 0) opened.joinHead();
    else opened.joinTail();
    tally.joins++;
    next = -1;
    return opened;
  }

  function drain() {
    for (let length = mine.tryPin(); length !== ringReader.EMPTY; length = mine.tryPin()) {
      if (length === ringReader.EVICTED) {
        demand(options.evictable, 'evicted although the policy or the reader forbids it');
        tally.evictions++;
        mine.joinHead();
        next = -1;
        continue;
      }
      const { bytes, found } = checkSpan(mine, length);
      for (const sequence of found) {
        demand(next === -1 || sequence === next, `batch ${sequence} came where ${next} was due`);
        next = sequence + 1;
      }
      tally.read += found.length;
      stall();
      mine.advance(bytes);
      if (random() % 512 === 0) {
        mine.close();
        mine = join();
      }
    }
  }
}

/** Reads a little, then pins and never comes back. */
function victim() {
  const mine = ringReader.RingReader.tryOpen(views.table, 0, place(), bells, { seat: options.seat, noticed: false });
  mine.joinHead();
  for (let left = random() % 20; ; ) {
    const length = mine.tryPin();
    if (length === ringReader.EVICTED) mine.joinHead();
    if (length <= 0) continue;
    const { bytes } = checkSpan(mine, length);
    if (left-- > 0) {
      mine.advance(bytes);
      continue;
    }
    parentPort.postMessage({ pinned: mine.position });
    for (;;) Atomics.wait(nap, 0, 0, 60_000);
  }
}

/** Park and ring: two threads hand a number back and forth, asleep in between. */
function player() {
  const { seat, partner, first } = options;
  const door = new bell.Doorbell(views.control, seat);
  let turns = 0;
  for (let turn = first; !stopped(); turn += 2) {
    while (Atomics.load(views.signals, PROGRESS) !== turn && !stopped()) {
      sleepUnless(door, () => Atomics.load(views.signals, PROGRESS) === turn);
    }
    if (stopped()) break;
    stall();
    Atomics.store(views.signals, PROGRESS, turn + 1);
    bells.ring(partner);
    turns++;
  }
  return turns;
}
