// Mutants of src/memory: each takes away or moves one atomic, one second look or one comparison. The suite must fail
// for every one of them (scripts/mutate.mjs).
//
// `edits` are [exact text, replacement]; the text must stand exactly once in the file. `killers` are parts of scenario
// names, tried in this order; `unit` names files of test/unit/memory instead (without .test.ts). `quick` marks the few
// that CI tries on every change.
import { JOURNAL } from './journal.mjs';
import { LANE } from './lane.mjs';
import { OTHERS } from './others.mjs';
import { READER } from './ring-reader.mjs';
import { WRITER } from './ring-writer.mjs';

export const MUTANTS = [...LANE, ...WRITER, ...READER, ...OTHERS, ...JOURNAL];
