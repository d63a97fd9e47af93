// The `ringmq` command. One file for each subcommand; exit codes and what all share stand in exit.ts and options.ts.
import { run } from './program.ts';

process.exitCode = await run(process.argv.slice(2));
