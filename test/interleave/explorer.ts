// Enumerates the schedules of a scenario depth-first and stops at the first that fails.
//
// Two ways save work and leave out no behaviour. (1) A state that was reached before is not explored again:
// Engine.key() names it by memory, by what every actor has read, and by who knows of whose plain accesses; at 10^6
// states two of them share a 53-bit name with a chance below 10^-4. (2) Where the next operation of an actor is on a
// word that no other actor ever touches, only that operation is tried; if another actor does touch it after all,
// everything is explored again with that knowledge.
import { ASLEEP, DEAD, DONE, Engine, READY, type Scenario } from './engine.ts';

/** Moves: 0.. step the actor; KILL + actor ends its thread. */
const KILL = 16;
const DEPTH_MAX = 600;

export interface Exploration {
  readonly states: number;
  /** Complete schedules that lead through these states; beyond 2^53 an approximation. */
  readonly schedules: number;
  readonly steps: number;
}

/** A schedule that fails: the text names it so that replay() can run it again. */
export class ScheduleFailure extends Error {
  readonly schedule: string;

  constructor(scenario: Scenario, schedule: string, reason: string, trace: readonly string[]) {
    super(`${scenario.name}\n  ${reason}\n  schedule ${schedule}\n    ${trace.join('\n    ')}`);
    this.schedule = schedule;
  }
}

/**
 * Explores all schedules. Throws ScheduleFailure at the first wrong one, or Error when `statesMax` does not suffice.
 */
export function explore(scenario: Scenario, statesMax = 2_000_000): Exploration {
  const touchedBy = new Engine(scenario).touchedBy;
  for (;;) {
    const walk = new Walk(scenario, statesMax, touchedBy);
    const exploration = walk.run();
    if (!walk.trustWasWrong()) return exploration;
  }
}

/** Runs one schedule with a trace; returns the lines. Throws what the schedule throws. */
export function replay(scenario: Scenario, schedule: string): string[] {
  const engine = new Engine(scenario);
  engine.trace = [];
  for (const char of schedule) applyMove(engine, moveOf(char));
  if (movesOf(engine).length === 0) demandEnd(engine);
  return engine.trace;
}

class Walk {
  private readonly engine: Engine;
  private readonly scenario: Scenario;
  private readonly statesMax: number;
  private readonly seen = new Map<number, number>();
  private readonly path: number[] = [];
  private readonly known: Int32Array;
  private steps = 0;

  constructor(scenario: Scenario, statesMax: number, touchedBy: Int32Array) {
    this.scenario = scenario;
    this.statesMax = statesMax;
    this.engine = new Engine(scenario);
    this.known = touchedBy;
    this.engine.touchedBy.set(touchedBy);
  }

  run(): Exploration {
    const schedules = this.visit(-1, this.scenario.preemptions ?? -1);
    return { states: this.seen.size, schedules, steps: this.steps };
  }

  /** True if a word that was taken for private turned out to be shared. Keeps what was learned. */
  trustWasWrong(): boolean {
    const { touchedBy, trustedPrivate } = this.engine;
    this.known.set(touchedBy);
    return trustedPrivate.some((trusted, word) => trusted !== 0 && !isSingle(touchedBy[word]));
  }

  private visit(last: number, budget: number): number {
    const all = movesOf(this.engine);
    if (all.length === 0 || all.every((move) => move >= KILL)) this.guard(() => demandEnd(this.engine));
    if (all.length === 0) return 1;
    const key = this.engine.key(budget < 0 ? 0 : (last + 2) * 64 + budget);
    const known = this.seen.get(key);
    if (known !== undefined) return known;
    if (this.seen.size >= this.statesMax) throw new Error(`${this.scenario.name}: more than ${this.statesMax} states`);
    if (this.path.length > DEPTH_MAX) this.fail(new Error('no end after the step limit (livelock?)'));
    let schedules = all.some((move) => move < KILL) ? 0 : 1;
    for (const move of this.reduce(all)) {
      const rest = budget < 0 ? budget : budget - this.cost(move, last, all);
      if (budget >= 0 && rest < 0) continue;
      schedules += this.try(move, rest);
    }
    this.seen.set(key, schedules);
    return schedules;
  }

  private try(move: number, budget: number): number {
    const mark = this.engine.mark();
    this.path.push(move);
    this.steps++;
    this.guard(() => applyMove(this.engine, move));
    const schedules = this.visit(move >= KILL ? -1 : move, budget);
    this.path.pop();
    this.engine.rollback(mark);
    return schedules;
  }

  private cost(move: number, last: number, all: readonly number[]): number {
    return move < KILL && move !== last && last >= 0 && all.includes(last) ? 1 : 0;
  }

  /** One move is enough if nobody else ever touches its word. */
  private reduce(all: readonly number[]): readonly number[] {
    const { pending, touchedBy, trustedPrivate, scenario } = this.engine;
    for (const move of all) {
      if (move >= KILL || scenario.actors[move].mortal || pending[move] < 0) continue;
      if (((touchedBy[pending[move]] | (1 << move)) & ~(1 << move)) !== 0) continue;
      trustedPrivate[pending[move]] = 1;
      return [move];
    }
    return all;
  }

  private guard(action: () => void): void {
    try {
      action();
    } catch (error) {
      this.fail(error as Error);
    }
  }

  private fail(error: Error): never {
    const schedule = this.path.map(charOf).join('');
    throw new ScheduleFailure(this.scenario, schedule, error.message, traceOf(this.scenario, schedule));
  }
}

function traceOf(scenario: Scenario, schedule: string): string[] {
  const engine = new Engine(scenario);
  engine.trace = [];
  try {
    for (const char of schedule) applyMove(engine, moveOf(char));
  } catch {
    // The last move is the one that fails.
  }
  return engine.trace;
}

function applyMove(engine: Engine, move: number): void {
  if (move >= KILL) engine.kill(move - KILL);
  else engine.step(move);
}

function movesOf(engine: Engine): number[] {
  const { status, scenario } = engine;
  const moves: number[] = [];
  for (const [index, actor] of scenario.actors.entries()) {
    if (status[index] === READY && mayRun(engine, actor.after)) moves.push(index);
  }
  for (const [index, actor] of scenario.actors.entries()) {
    if (actor.mortal && (status[index] === READY || status[index] === ASLEEP)) moves.push(KILL + index);
  }
  return moves;
}

function mayRun(engine: Engine, after: string | undefined): boolean {
  if (after === undefined) return true;
  return engine.status[engine.scenario.actors.findIndex((actor) => actor.name === after)] === DEAD;
}

/** Nobody can move: everybody must have finished, and the end must be right. */
function demandEnd(engine: Engine): void {
  for (const [index, actor] of engine.scenario.actors.entries()) {
    const status = engine.status[index];
    if (status === DONE || status === DEAD || (status === READY && !mayRun(engine, actor.after))) continue;
    throw new Error(`deadlock: ${actor.name} sleeps and nobody will wake it`);
  }
  engine.scenario.finish?.(engine.memory.raw, engine.results);
}

function isSingle(bits: number): boolean {
  return (bits & (bits - 1)) === 0;
}

function charOf(move: number): string {
  return move >= KILL ? String.fromCharCode(97 + move - KILL) : String(move);
}

function moveOf(char: string): number {
  return char >= 'a' ? KILL + char.charCodeAt(0) - 97 : Number(char);
}
