/**
 * The recorded full sync of test/fixtures/replication: what each side has said, in order.
 *
 *   0.766 R> *1\r\n…      the replica to the primary, with the line ends written out
 *         P> +OK\r\n      the primary to the replica; `<276 bytes of …>` stands for the dump
 */
import { readFileSync } from 'node:fs';

const at = (name: string): URL => new URL(`../fixtures/replication/${name}`, import.meta.url);

export const recordedDump = readFileSync(at('handshake.rdb'));

export interface RecordedStep {
  readonly by: 'replica' | 'primary';
  readonly bytes: Buffer;
}

/** Ids in the record, which another run has others for. */
export const RecordedId = {
  /** What the replica had been the primary of. */
  REPLICA: '48f9e4f8d75856f90b65299ce0c6ae57a8a69814',
  /** The history that the full sync begins. */
  PRIMARY: 'd28bd808c0922b5679039db98a7493f76689084e',
} as const;

export function recordedSteps(): RecordedStep[] {
  const steps: RecordedStep[] = [];
  for (const line of readFileSync(at('handshake.txt'), 'latin1').split('\n')) {
    const match = /^(?:\d+\.\d+)?\s*([RP])> (\S+(?: \S+)*?)(?:\s{2,}\(.*\))?$/.exec(line);
    if (match === null) continue;
    const [, side, text] = match;
    const bytes = text!.startsWith('<')
      ? recordedDump
      : Buffer.from(text!.replaceAll('\\r', '\r').replaceAll('\\n', '\n'), 'latin1');
    steps.push({ by: side === 'R' ? 'replica' : 'primary', bytes });
  }
  return steps;
}
