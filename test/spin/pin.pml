/*
 * Pin, evict, join, free, death: the slots of a partition ring (ring-writer.ts, ring-reader.ts).
 *
 * Positions count batches of equal size; the ring has CAPACITY of them. A slot is one word: position * 8 + state. Cell
 * i holds the sequence of the batch that stands there; TORN while it is written. Every statement that touches a shared
 * variable is one step; a d_step is a compare-exchange.
 *
 * Asserted: what a pinned reader reads is whole and is the batch at its position (I1, I2, I3); positions rise.
 *
 * Broken on purpose, each must fail: BUG_HEAD_AFTER_SCAN, BUG_NO_RECHECK, BUG_UNPIN_EVICT, BUG_PIN_WITHOUT_SWAP,
 * BUG_EVICT_WITHOUT_SWAP, BUG_MASK_LATE, BUG_HEIR_FREE.
 */
#ifndef READERS
#define READERS 2
#endif
#ifndef BATCHES
#define BATCHES 6
#endif
#define CAPACITY 3
#define TORN 255

#define FREE 0
#define IDLE 1
#define PINNED 2
#define EVICTED 3
#define STATE(word) (word & 7)
#define POSITION(word) (word >> 3)
#define WORD(position, state) ((position << 3) | state)

byte TAIL = CAPACITY;
byte HEAD = 0;
byte mask = 0;
byte cursor[READERS];
byte cell[CAPACITY];
bool dead[READERS];
bool heir = false;
bool drops = false;

/* What RingWriter.tryFree() finds: `freed` is as far as bytes may be overwritten. */
inline look_at_slots() {
  seen = mask;
  slot = 0;
  freed = head;
  do
  :: slot < READERS ->
    if
    :: (seen >> slot) & 1 ->
      tries = 0;
again:
      word = cursor[slot];
      if
      :: STATE(word) == FREE || STATE(word) == EVICTED || POSITION(word) >= head -> skip
      :: else ->
        if
#ifdef BUG_UNPIN_EVICT
        :: drops ->
#else
        :: drops && STATE(word) == IDLE ->
#endif
          d_step {
            swapped = (cursor[slot] == word);
#ifdef BUG_EVICT_WITHOUT_SWAP
            swapped = true;
#endif
            if
            :: swapped -> cursor[slot] = WORD(head, EVICTED)
            :: else -> skip
            fi
          }
          if
          :: swapped -> skip /* essential: a reader was evicted */
          :: !swapped && tries < 3 -> tries++; goto again /* essential: a reader moved while it was evicted */
          :: else -> if :: POSITION(word) < freed -> freed = POSITION(word) :: else -> skip fi
          fi
        :: else ->
          if
          :: POSITION(word) < freed -> freed = POSITION(word) /* essential: a reader holds the writer */
          :: else -> skip
          fi
        fi
      fi
    :: else -> skip
    fi;
    slot++
  :: else -> break
  od;
  word = 0; seen = 0; slot = 0; swapped = false; tries = 0
}

/* Ends the thread here; a successor starts. Once, so that the state space stays finite. */
inline may_die() {
  if
  :: !heir -> heir = true; goto start /* essential: the writer died, a successor attaches */
  :: true -> skip
  fi
}

/* The owner: writes batches TAIL.. up to BATCHES. */
proctype Writer() {
  byte tail, head, freed, seen, slot, word, tries;
  bool swapped;
start:
  tail = TAIL;
  head = HEAD;
#ifdef BUG_HEIR_FREE
  freed = head;
#else
  freed = tail - CAPACITY;
#endif
  do
  :: tail < BATCHES ->
    if
    :: tail + 1 > freed + CAPACITY ->
      if
      :: tail + 1 > head + CAPACITY ->
        head = tail + 1 - CAPACITY;
#ifndef BUG_HEAD_AFTER_SCAN
        HEAD = head;
        may_die()
#endif
      :: else -> skip
      fi;
      look_at_slots();
#ifdef BUG_HEAD_AFTER_SCAN
      HEAD = head
#endif
    :: else -> skip
    fi;
    if
    :: tail + 1 > freed + CAPACITY -> skip /* essential: FULL */
    :: else ->
      cell[tail % CAPACITY] = TORN;
      may_die();
      cell[tail % CAPACITY] = tail;
      tail++;
      TAIL = tail
    fi;
    may_die()
  :: else -> break
  od
}

/* Leaves, or is cleared by releaseSlotsOf() after its death: the same three stores, here one by one. */
inline leave() {
  d_step { mask = mask & ~(1 << me) }
  cursor[me] = FREE
}

proctype Reader(byte me) {
  byte position, tail, rounds;
  bool ok;
join:
  position = HEAD;
#ifdef BUG_NO_RECHECK
  ok = true;
  cursor[me] = WORD(position, IDLE);
  d_step { mask = mask | (1 << me) }
#else
#ifdef BUG_MASK_LATE
  cursor[me] = WORD(position, IDLE);
  ok = (position >= HEAD);
  d_step { mask = mask | (1 << me) }
#else
  cursor[me] = WORD(position, IDLE);
  d_step { mask = mask | (1 << me) }
  ok = (position >= HEAD);
#endif
#endif
  if
  :: !ok -> leave(); goto join /* essential: a join came too late */
  :: else -> skip
  fi;
  do
  :: rounds < 2 ->
    rounds++;
    tail = TAIL;
    if
    :: tail == position -> skip
    :: else ->
      d_step {
        ok = (cursor[me] == WORD(position, IDLE));
#ifdef BUG_PIN_WITHOUT_SWAP
        ok = true;
#endif
        if
        :: ok -> cursor[me] = WORD(position, PINNED)
        :: else -> skip
        fi
      }
      if
      :: !ok -> goto join /* essential: a reader finds itself evicted */
      :: else -> skip
      fi;
      assert(cell[position % CAPACITY] == position);
      if
      :: dead[me] = true; goto died /* essential: a reader dies while it pins */
      :: skip
      fi;
      assert(cell[position % CAPACITY] == position);
      position++;
      cursor[me] = WORD(position, IDLE)
    fi
  :: else -> break
  od;
died:
  /* The supervisor knows that the thread has ended, or the reader closes. */
  leave()
}

init {
  byte i;
  atomic {
    for (i : 0 .. CAPACITY - 1) { cell[i] = i }
    if
    :: drops = true
    :: drops = false
    fi;
    run Writer();
    for (i : 0 .. READERS - 1) { run Reader(i) }
  }
}
