// `ringmq log`: what a data folder has in its log, and whether it is sound. Reads only: also while a broker runs.
import { Command, Option } from 'commander';
import { assertData, dataFolders } from '../log/disk-folder.ts';
import { NodeDisk } from '../log/disk-node.ts';
import type { LogDamage, LogInspection, SegmentInspection } from '../log/log-summary.ts';
import { inspectLog, verifyLog } from '../log/log-verify.ts';
import { EXIT, EXIT_HELP, say } from './exit.ts';
import { grouped, size } from './figures.ts';
import { DEFAULT_DATA } from './options.ts';
import { momentText } from './times.ts';
import { line, table } from './topic-text.ts';

interface LogOptions {
  readonly data: string;
  readonly json?: boolean;
}

const EXAMPLES = `
Examples:
  ringmq log inspect                           segments, queues, times
  ringmq log inspect --data /var/lib/ringmq --json
  ringmq log verify                            reads everything and checks every checksum

A start verifies what no index file vouches for: after a stop in order next to nothing, after a crash the newest
segment. Damage anywhere else is found when it is read (readers get a gap), or by verify, which reads everything.

Topics have numbers in the log: \`ringmq topic describe TOPIC --json\` says which (topicId). What is damaged but known
was set aside at a start (--on-damage quarantine); a damaged index file is made again at the next start. Neither makes
the exit code of verify 1; everything else that is damaged does.
`;

const PROGRESS_MS = 500;
const QUEUES_SHOWN = 50;

export function logCommand(done: (code: number) => void): Command {
  const inspect = withData(new Command('inspect').description('what is in the log')).action((options: LogOptions) =>
    done(inspectAll(options)),
  );
  const verify = withData(
    new Command('verify').description('check every byte; the exit code is 1 if something is damaged'),
  ).action((options: LogOptions) => done(verifyAll(options)));
  const command = new Command('log').description('the log of a data folder: what it has, whether it is sound');
  for (const one of [inspect, verify]) command.addCommand(one.addHelpText('after', EXIT_HELP));
  return command.addHelpText('after', EXAMPLES);
}

function withData(command: Command): Command {
  return command
    .addOption(new Option('--data <folder>', 'folder of the data').env('RINGMQ_DATA').default(DEFAULT_DATA))
    .option('--json', 'print JSON lines, for scripts');
}

function open(options: LogOptions): NodeDisk {
  const folders = dataFolders(options.data);
  assertData(folders.data);
  return new NodeDisk(folders.log);
}

function inspectAll(options: LogOptions): number {
  const found = inspectLog(open(options));
  if (options.json) {
    const { segments, queues, damage, ...whole } = found;
    const segmentLines = segments.map((one) => line({ segment: one.name, ...one }));
    const queueLines = queues.map((one) => line({ queue: `${one.topicId}/${one.partition}`, ...one }));
    process.stdout.write([line(whole), ...segmentLines, ...queueLines, ...damage.map(damageLine)].join(''));
  } else process.stdout.write(inspectionText(found));
  return EXIT.ok;
}

function verifyAll(options: LogOptions): number {
  let saidAt = performance.now();
  const found = verifyLog(open(options), {
    progress: ({ doneBytes, totalBytes, segment }) => {
      if (performance.now() - saidAt < PROGRESS_MS) return;
      saidAt = performance.now();
      say(`${size(doneBytes)} of ${size(totalBytes)} verified (${segment})`);
    },
  });
  const bad = found.damage.filter((one) => one.kind !== 'index' && !one.known);
  const { segments, lengthBytes } = found;
  const records = segments.reduce((sum, one) => sum + one.records, 0);
  if (options.json) {
    const whole = { sound: bad.length === 0, segments: segments.length, records, lengthBytes };
    process.stdout.write([...found.damage.map(damageLine), line(whole)].join(''));
  } else {
    for (const one of found.damage) process.stdout.write(`${damageText(one)}\n`);
    const what = `${segments.length} segments, ${grouped(records)} messages`;
    process.stdout.write(
      bad.length === 0 ? `the log is sound: ${what}\n` : `DAMAGED at ${bad.length} places: ${what}\n`,
    );
  }
  return bad.length === 0 ? EXIT.ok : EXIT.failed;
}

function inspectionText(found: LogInspection): string {
  const { segments, queues, damage, spares, lengthBytes } = found;
  if (segments.length === 0) return 'the log is empty\n';
  const head = ['SEGMENT', 'LENGTH', 'STATE', 'INDEX', 'MESSAGES', 'FIRST STORED', 'LAST STORED'];
  const rows = queues
    .slice(0, QUEUES_SHOWN)
    .map((one) => [
      `${one.topicId}/${one.partition}`,
      grouped(one.oldestOffset),
      grouped(one.nextOffset),
      grouped(one.records),
      size(one.bytes),
      whenText(one.storedFirst),
      whenText(one.storedLast),
    ]);
  const queueHead = [
    'TOPIC ID/PARTITION',
    'OLDEST OFFSET',
    'NEXT OFFSET',
    'MESSAGES',
    'SIZE',
    'FIRST STORED',
    'LAST STORED',
  ];
  const more = queues.length > QUEUES_SHOWN ? `... and ${queues.length - QUEUES_SHOWN} more (--json shows all)\n` : '';
  return [
    table([head, ...segments.map(segmentRow)]),
    `${size(lengthBytes)} in ${segments.length} segments, ${spares} spare files\n\n`,
    table([queueHead, ...rows]),
    more,
    ...damage.map((one) => `${damageText(one)}\n`),
  ].join('');
}

function segmentRow(one: SegmentInspection): string[] {
  const state = one.sealed ? 'sealed' : `${size(one.end - one.base)} used`;
  return [
    one.name,
    size(one.lengthBytes),
    state,
    one.index,
    grouped(one.records),
    whenText(one.storedFirst),
    whenText(one.storedLast),
  ];
}

function whenText(ms: number): string {
  return ms === 0 ? '-' : momentText(ms);
}

function damageText({ kind, file, from, to, text, known }: LogDamage): string {
  return `${known ? 'known  ' : 'DAMAGE '} ${kind} in ${file}, log positions ${from} to ${to}: ${text}`;
}

function damageLine(one: LogDamage): string {
  return line({ damage: one.kind, ...one });
}
