/**
 * Time from the start of the process to its first reply, and to the reply for a first client that
 * connects during headwater's rehearsal. Empty directory, warm file cache.
 */
import type { Context, Measurement, Scenario } from '../lib/scenario.ts';
import { pause } from '../lib/scenario.ts';
import { answering } from '../lib/server.ts';
import { Checksum } from '../lib/workload.ts';

/** The late client connects this long after the port is bound, in the middle of the rehearsal. */
const LATE_MS = { full: 1000, smoke: 50 };

async function measure(context: Context): Promise<Measurement> {
  const early = await context.launch();
  await early.listening();
  const listenMs = performance.now() - early.startedMs;
  const first = await answering(early.process, early.port);
  const answerMs = performance.now() - early.startedMs;
  first.close();
  const other = await context.launch();
  await other.listening();
  await pause(LATE_MS[context.smoke ? 'smoke' : 'full']);
  const comesMs = performance.now();
  const late = await answering(other.process, other.port);
  const lateMs = performance.now() - comesMs;
  late.close();
  const checksum = new Checksum().add('PING').text();
  return { checksum, values: { listen: listenMs, answer: answerMs, late: lateMs }, notes: [] };
}

export const start: Scenario = {
  name: 'start',
  title: 'Start with an empty directory: when the port is bound, and when PING is answered.',
  runs: 10,
  figures: () => [
    { id: 'listen', label: 'port bound', unit: 'ms', must: null },
    { id: 'answer', label: 'first answer', unit: 'ms', must: { below: 600 } },
    {
      id: 'late',
      label: 'answer to a client that comes 1 s later',
      unit: 'ms',
      must: { below: 100 },
    },
  ],
  measure,
};
