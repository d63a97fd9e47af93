/*
 * Sleep and wake: doorbells, notices, a blocked owner (bell.ts, notice.ts, RingWriter.eachNews(), setBlocked()).
 *
 * The owner publishes BATCHES into a ring of ROOM and sleeps while it is full; the reader sleeps while it has no
 * notice. Another worker rings the reader's bell for news of its own and may die between swapping the bell and
 * notifying; the supervisor then rouses the reader. A wait is atomic compare-and-sleep, as in V8; no timeouts, so
 * that a lost wake-up is a deadlock (invalid end state).
 *
 * Configurations: -DROOM=1 | -DROOM=2
 *
 * Broken on purpose, each must fail: BUG_NO_RECHECK, BUG_NO_SWAP, BUG_CLEAR_LATE, BUG_NOTICE_FIRST, BUG_RING_FIRST,
 * BUG_BLOCKED_LATE, BUG_NO_ROUSE.
 */
#ifndef BATCHES
#define BATCHES 4
#endif
#ifndef ROOM
#define ROOM 2
#endif
#define OWNER 0
#define READER 1

byte TAIL = 0;
byte CURSOR = 0;
bool BLOCKED = false;
bool bell[2];
bool sleeps[2];

bool noticed[2];  /* of the owner's partition, of the other worker's */
byte notices[2];  /* notices under way from each */
byte otherTail = 0;
bool otherDied = false;

inline ring(seat) {
  if
  :: bell[seat] ->
#ifdef BUG_NO_SWAP
    sleeps[seat] = false
#else
    d_step { swapped = bell[seat]; bell[seat] = false }
    if
    :: swapped -> sleeps[seat] = false /* essential: somebody is woken */
    :: else -> skip /* essential: somebody else was faster */
    fi
#endif
  :: else -> skip
  fi;
  swapped = false
}

/* Atomics.wait(), then the bell is taken back. */
inline wait(seat) {
  d_step {
    if
    :: bell[seat] -> sleeps[seat] = true
    :: else -> skip
    fi
  }
  !sleeps[seat];
  bell[seat] = false
}

inline notice(from) {
  if
  :: !noticed[from] ->
    noticed[from] = true;
    assert(notices[from] == 0); /* I1: at most one under way */
    notices[from] = notices[from] + 1;
    ring(READER)
  :: else -> skip /* essential: the reader was noticed already */
  fi
}

proctype Owner() {
  byte tail;
  bool swapped;
  do
  :: tail < BATCHES ->
    do
    :: tail - CURSOR < ROOM -> break
    :: else ->
#ifndef BUG_BLOCKED_LATE
      BLOCKED = true;
#endif
      bell[OWNER] = true;
#ifndef BUG_NO_RECHECK
      if
      :: tail - CURSOR < ROOM -> bell[OWNER] = false; BLOCKED = false; break /* essential: room came in time */
      :: else -> skip
      fi;
#endif
#ifdef BUG_BLOCKED_LATE
      BLOCKED = true;
#endif
      wait(OWNER); /* essential: the owner slept */
      BLOCKED = false
    od;
    tail++;
#ifdef BUG_NOTICE_FIRST
    notice(0);
    TAIL = tail
#else
    TAIL = tail;
    notice(0)
#endif
  :: else -> break
  od
}

proctype OtherWorker() {
  bool swapped;
  otherTail = 1;
  if
  :: !noticed[1] ->
    noticed[1] = true;
    notices[1] = 1;
    if
    :: bell[READER] ->
      d_step { swapped = bell[READER]; bell[READER] = false }
      if
      :: swapped ->
        if
        :: sleeps[READER] = false
        :: otherDied = true /* essential: dies with the wake-up in its hands */
        fi
      :: else -> skip
      fi
    :: else -> skip
    fi
  :: else -> skip
  fi
}

proctype Supervisor() {
end:
  otherDied;
#ifndef BUG_NO_ROUSE
  bell[READER] = false;
  sleeps[READER] = false
#endif
}

proctype Reader() {
  byte tail, otherRead;
  bool swapped;
  do
  :: CURSOR == BATCHES && otherRead == 1 -> break
  :: else ->
    if
    :: notices[0] > 0 ->
      notices[0] = notices[0] - 1;
#ifndef BUG_CLEAR_LATE
      noticed[0] = false;
#endif
      do
      :: tail = TAIL;
        if
        :: tail == CURSOR -> break
        :: else -> skip
        fi;
#ifdef BUG_RING_FIRST
        if
        :: BLOCKED -> ring(OWNER)
        :: else -> skip
        fi;
        CURSOR = CURSOR + 1
#else
        CURSOR = CURSOR + 1;
        if
        :: BLOCKED -> ring(OWNER)
        :: else -> skip
        fi
#endif
      od;
#ifdef BUG_CLEAR_LATE
      noticed[0] = false
#endif
    :: notices[0] == 0 && notices[1] > 0 ->
      notices[1] = notices[1] - 1;
      noticed[1] = false;
      otherRead = otherTail
    :: else ->
      bell[READER] = true;
#ifndef BUG_NO_RECHECK
      if
      :: notices[0] > 0 || notices[1] > 0 -> bell[READER] = false /* essential: news came in time */
      :: else -> wait(READER) /* essential: the reader slept */
      fi
#else
      wait(READER)
#endif
    fi
  od;
  assert(CURSOR == TAIL)
}

init {
  atomic {
    run Owner();
    run OtherWorker();
    run Supervisor();
    run Reader()
  }
}
