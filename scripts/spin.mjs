// Checks the Promela models of test/spin exhaustively, and that each of their broken variants fails.
//
//   node scripts/spin.mjs [part of a model's name]
//
// A statement whose line says `essential:` must be reached: a model in which it cannot happen proves nothing about it.
// Exit codes: 0 as it should be, 1 an error or an unreached essential statement, 2 a broken variant that passes,
// 3 spin or a C compiler is missing (Debian: apt-get install spin gcc).
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const FOLDER = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../test/spin');
const DEPTH_MAX = 2_000_000;
const TIMEOUT_MS = 300_000;

const part = process.argv[2] ?? '';
const work = fs.mkdtempSync(path.join(os.tmpdir(), 'ringmq-spin-'));
process.on('exit', () => fs.rmSync(work, { recursive: true, force: true }));
process.exitCode = main();

function main() {
  for (const tool of ['spin', 'cc']) {
    if (spawnSync(tool, [tool === 'spin' ? '-V' : '--version']).error === undefined) continue;
    console.error(`${tool} is missing. Debian and Ubuntu: apt-get install spin gcc`);
    return 3;
  }
  let worst = 0;
  for (const model of fs.readdirSync(FOLDER).filter((name) => name.endsWith('.pml') && name.includes(part))) {
    worst = Math.max(worst, checkModel(model));
  }
  return worst;
}

function checkModel(model) {
  const source = fs.readFileSync(path.join(FOLDER, model), 'utf8');
  const configurations = (/Configurations: (.*)/.exec(source)?.[1] ?? '').split(' | ');
  let worst = 0;
  let missed = source.split('\n').filter((line) => line.includes('essential:'));
  for (const options of configurations) {
    const { errors, states, depth, seconds, output } = verify(model, options);
    console.log(`${model} ${options}: ${errors} errors, ${states} states, depth ${depth}, ${seconds} s`);
    if (errors !== 0) console.log(output);
    if (errors !== 0) worst = 1;
    const unreached = unreachedEssentials(output, source, model);
    missed = missed.filter((line) => unreached.includes(line));
  }
  for (const line of missed) console.log(`  never reached: ${line}`);
  if (missed.length > 0) worst = 1;
  for (const bug of new Set(source.match(/BUG_\w+/g))) {
    const found = configurations.find((options) => verify(model, `${options} -D${bug}`).errors > 0);
    console.log(`  ${found === undefined ? 'PASSES ALTHOUGH BROKEN' : 'fails, as it must'}: ${bug} ${found ?? ''}`);
    if (found === undefined) worst = 2;
  }
  return worst;
}

/** Generates, compiles and runs the verifier; stops at the first error. */
function verify(model, options) {
  const folder = fs.mkdtempSync(path.join(work, 'pan-'));
  fs.copyFileSync(path.join(FOLDER, model), path.join(folder, model));
  const before = performance.now();
  run(folder, 'spin', [...options.split(' ').filter((word) => word !== ''), '-a', model]);
  run(folder, 'cc', ['-O2', '-w', '-DSAFETY', '-DCOLLAPSE', '-DMEMLIM=3000', '-o', 'pan', 'pan.c']);
  const output = run(folder, './pan', [`-m${DEPTH_MAX}`]);
  const errors = Number(/errors: (\d+)/.exec(output)?.[1] ?? Number.NaN);
  const isWhole = !/max search depth too small|out of memory|Search not completed/.test(output) || errors > 0;
  if (Number.isNaN(errors) || !isWhole) throw new Error(`${model}: the search did not finish\n${output}`);
  return {
    output,
    errors,
    states: Number(/([\d.e+]+) states, stored/.exec(output)?.[1] ?? Number.NaN),
    depth: /depth reached (\d+)/.exec(output)?.[1],
    seconds: ((performance.now() - before) / 1000).toFixed(1),
  };
}

function run(cwd, command, args) {
  const done = spawnSync(command, args, { cwd, encoding: 'utf8', timeout: TIMEOUT_MS, maxBuffer: 64 * 1024 * 1024 });
  if (done.error) throw done.error;
  if (done.status !== 0 && command !== './pan') throw new Error(`${command}: ${done.stdout}${done.stderr}`);
  return done.stdout + done.stderr;
}

/** Lines marked `essential:` that the verifier lists as unreached. */
function unreachedEssentials(output, source, model) {
  const lines = source.split('\n');
  const unreached = new Set([...output.matchAll(new RegExp(`${model}:(\\d+), state`, 'g'))].map((found) => found[1]));
  return [...unreached].map((line) => lines[Number(line) - 1]).filter((line) => line?.includes('essential:'));
}
