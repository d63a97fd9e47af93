// The command line as a whole: commands, help, exit codes.
import { Command, CommanderError } from 'commander';
import { CLIENT_VERSION } from '../client/ws-link.ts';
import { benchCommand } from './bench.ts';
import { dlqCommand } from './dlq.ts';
import { doctorCommand } from './doctor.ts';
import { EXIT, EXIT_HELP, endOnBrokenPipe, report } from './exit.ts';
import { groupCommand } from './group.ts';
import { logCommand } from './log.ts';
import { pubCommand } from './pub.ts';
import { recallCommand } from './pub-later.ts';
import { queryCommand } from './query.ts';
import { serveCommand } from './serve.ts';
import { subCommand } from './sub.ts';
import { topicCommand } from './topic.ts';
import { traceCommand } from './trace.ts';

const EXAMPLES = `
Examples:
  ringmq serve                            start a broker on ws://127.0.0.1:7400 that keeps its data in ./data
  ringmq sub demo                         print messages of the topic demo as they come
  ringmq pub demo --message hello         send one
  cat file | ringmq pub lines             send every line of a file, in order
  ringmq sub lines --from earliest --count 500000 > copy
  ringmq query orders --key 7 --from -1h  find messages
  ringmq sub orders --group billing       share the messages with others of the group
  ringmq group describe billing           who is there, and how far they are
  ringmq dlq replay billing               try again what failed for good
  ringmq pub orders --delay 10m --message remind
  ringmq topic list
  ringmq log inspect                      what is in the data folder
  ringmq doctor                           is this machine ready?
`;

const COMMANDS = [
  serveCommand,
  pubCommand,
  subCommand,
  queryCommand,
  topicCommand,
  groupCommand,
  dlqCommand,
  recallCommand,
  traceCommand,
  logCommand,
  benchCommand,
  doctorCommand,
];

/** Runs a command line (without node and script) and returns the exit code. */
export async function run(args: readonly string[]): Promise<number> {
  endOnBrokenPipe();
  let exitCode: number = EXIT.ok;
  const done = (code: number): void => {
    exitCode = code;
  };
  const program = new Command('ringmq')
    .description('A multi-threaded message broker. Every command has its own --help with examples.')
    .version(CLIENT_VERSION)
    .enablePositionalOptions()
    .showHelpAfterError('(add --help for how it is used)')
    .addHelpText('after', EXAMPLES + EXIT_HELP);
  for (const make of COMMANDS) program.addCommand(make(done));
  strict(program);
  try {
    await program.parseAsync([...args], { from: 'user' });
    return exitCode;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.ok : EXIT.usage;
    return report(error);
  }
}

/** Commander would end the process; here it throws. */
function strict(command: Command): void {
  command.exitOverride();
  for (const one of command.commands) {
    one.showHelpAfterError(`(ringmq ${fullName(one)} --help shows how it is used)`);
    strict(one);
  }
}

function fullName(command: Command): string {
  const above = command.parent;
  return above?.parent ? `${fullName(above)} ${command.name()}` : command.name();
}
