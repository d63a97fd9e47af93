// Mutation testing of src/memory: applies each mutant of test/interleave/mutants/ to a copy and demands that the
// interleaving scenarios or the unit tests fail. A mutant that survives shows a check that is missing.
//
//   node scripts/mutate.mjs [--quick] [part of a name]
//
// Exit codes: 0 all killed, 1 some survived, 2 a mutant could not be made or the unchanged code fails.
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { MUTANTS } from '../test/interleave/mutants/all.mjs';

const ROOT = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..');
const COPIED = ['src/base', 'src/memory', 'native-layout', 'test/interleave', 'test/unit/memory', 'package.json'];
const RUN_TIMEOUT_MS = 60_000;

const words = process.argv.slice(2);
const part = words.find((word) => !word.startsWith('--')) ?? '';
const chosen = MUTANTS.filter((one) => (!words.includes('--quick') || one.quick) && one.name.includes(part));

const work = fs.mkdtempSync(path.join(os.tmpdir(), 'ringmq-mutants-'));
process.on('exit', () => fs.rmSync(work, { recursive: true, force: true }));
process.exitCode = await main();

async function main() {
  prepareCopy();
  const started = performance.now();
  const survivors = [];
  for (const mutant of chosen) {
    const before = performance.now();
    const killer = await killerOf(mutant);
    if (killer === undefined) survivors.push(mutant.name);
    const seconds = ((performance.now() - before) / 1000).toFixed(1).padStart(5);
    console.log(`${killer ? 'killed  ' : 'SURVIVED'} ${seconds} s  ${mutant.name}${killer ? `  <- ${killer}` : ''}`);
  }
  const seconds = ((performance.now() - started) / 1000).toFixed(0);
  console.log(`${chosen.length - survivors.length} of ${chosen.length} mutants killed in ${seconds} s`);
  for (const name of survivors) console.log(`survivor: ${name}`);
  return survivors.length === 0 ? 0 : 1;
}

/** A tree of its own, so that the sources are never touched and nothing but the mutated module differs. */
function prepareCopy() {
  for (const one of COPIED) fs.cpSync(path.join(ROOT, one), path.join(work, one), { recursive: true });
  fs.symlinkSync(path.join(ROOT, 'node_modules'), path.join(work, 'node_modules'));
  const config = "export default { test: { include: ['test/unit/memory/*.test.ts'], bail: 1, testTimeout: 20000 } };\n";
  fs.writeFileSync(path.join(work, 'vitest.config.mjs'), config);
}

/** What fails when the mutant is in place; undefined if nothing does. */
async function killerOf(mutant) {
  const file = path.join(work, 'src/memory', mutant.file);
  const original = fs.readFileSync(file, 'utf8');
  fs.writeFileSync(file, mutate(original, mutant));
  try {
    return (await scenarioThatFails(mutant)) ?? unitThatFails(mutant.unit ?? []);
  } finally {
    fs.writeFileSync(file, original);
  }
}

function mutate(text, { name, edits }) {
  let mutated = text;
  for (const [from, to] of edits) {
    if (mutated.split(from).length !== 2) {
      console.error(`${name}: the text to replace does not stand exactly once:\n${from}`);
      process.exit(2);
    }
    mutated = mutated.replace(from, () => to);
  }
  return mutated;
}

async function scenarioThatFails({ killers }) {
  if (killers.length === 0) return undefined;
  const outfile = path.join(work, 'explore.mjs');
  await build({
    entryPoints: [path.join(work, 'test/interleave/cli.ts')],
    outfile,
    bundle: true,
    platform: 'node',
    format: 'esm',
    logLevel: 'error',
  });
  for (const killer of killers) {
    const env = { ...process.env, RINGMQ_BAIL: '1', RINGMQ_EXPLORE: '' };
    const run = spawnSync(process.execPath, [outfile, killer], { encoding: 'utf8', timeout: RUN_TIMEOUT_MS, env });
    if (run.error) return `${killer} (no end)`;
    if (run.status !== 0) return firstFailure(run.stdout) ?? `${killer} (${run.stderr.trim().split('\n').at(-1)})`;
  }
  return undefined;
}

function firstFailure(stdout) {
  const lines = stdout.split('\n');
  const at = lines.findIndex((line) => line.startsWith('FAIL'));
  return at < 0 ? undefined : `${lines[at].slice(5)} |${lines[at + 1] ?? ''}`;
}

function unitThatFails(files) {
  for (const file of files) {
    const args = [path.join(ROOT, 'node_modules/vitest/vitest.mjs'), 'run', '--root', work, `${file}.test.ts`];
    const run = spawnSync(process.execPath, args, { encoding: 'utf8', timeout: RUN_TIMEOUT_MS, cwd: work });
    if (run.error) return `${file}.test.ts (no end)`;
    if (run.status !== 0) return `${file}.test.ts`;
  }
  return undefined;
}
