/**
 * What the programs of this folder have in common: their exit code, and the end by a wrong word of
 * the command line, or by a signal.
 */
import { resolve } from 'node:path';

/** The command line makes no sense. */
export class UsageError extends Error {}

/** Runs `main` with the words of the command line and the root of the repository. */
export async function runProgram(
  main: (words: string[], root: string) => Promise<number>,
  usage: string,
): Promise<void> {
  // The handlers of `exit` kill the servers.
  process.on('SIGINT', () => process.exit(130));
  process.on('SIGTERM', () => process.exit(143));
  try {
    // This file runs from dist-bench/native-free-bench/lib/.
    const root = resolve(import.meta.dirname, '..', '..', '..');
    process.exitCode = await main(process.argv.slice(2), root);
  } catch (error) {
    const isUsage =
      error instanceof UsageError || (error as NodeJS.ErrnoException).code?.startsWith('ERR_PARSE');
    if (!isUsage) throw error;
    console.error(`${(error as Error).message}\n\n${usage}`);
    process.exitCode = 2;
  }
}
