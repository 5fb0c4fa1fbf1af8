/**
 * Worker entry: writes a frozen image as a dump, or as commands, into a byte ring. snapshot-job.ts
 * is the main thread's side.
 *
 * New shadow pages are announced on a port before any mark leads to them. The task never returns to
 * its event loop; it fetches the message when it meets an unknown chunk.
 *
 * Ends with CANCELLED when the control block says so or the ring's consumer wants no more, with
 * COW_LIMIT when the image is lost.
 */
import { type MessagePort, receiveMessageOnPort } from 'node:worker_threads';
import { type ChunkSource, Image } from '../arena/image.ts';
import { FreezeWord } from '../arena/pages.ts';
import { assert } from '../base/assert.ts';
import { codeOf, ErrorCode, messageOf, OperatingError } from '../base/errors.ts';
import type { KeyspaceImage } from '../keyspace/keyspace.ts';
import { saveCommands } from '../rdb/rewrite/rewrite.ts';
import { type SaveListener, type SaveOptions, type SaveResult, saveDump } from '../rdb/save.ts';
import { RingProducer } from './byte-ring.ts';
import { SnapshotControl } from './control-block.ts';
import { asTask } from './task-outcome.ts';

export interface SnapshotTask {
  readonly image: KeyspaceImage;
  readonly options: SaveOptions;
  /** Memory of the byte ring that takes the dump. */
  readonly ring: SharedArrayBuffer;
  /** Memory of the control block. */
  readonly control: SharedArrayBuffer;
  /** Receives a {@link ShadowMessage} for each chunk of shadow pages. It must be transferred. */
  readonly shadows: MessagePort;
}

export interface ShadowMessage {
  readonly index: number;
  readonly chunk: SharedArrayBuffer;
}

export const runTask = asTask(snapshot);

function snapshot(task: SnapshotTask): SaveResult {
  const control = new SnapshotControl(task.control);
  const ring = new RingProducer(task.ring);
  control.start();
  try {
    const image = new Image(task.image.arena, chunksFrom(task.shadows));
    const result = save(image, task, ring, (keys, bytes) => {
      control.keysDone = keys;
      control.bytesDone = bytes;
      if (control.cancelled)
        throw new OperatingError(ErrorCode.CANCELLED, 'the snapshot was cancelled');
    });
    ring.end();
    control.succeed({ bytes: result.bytes, keys: result.keys });
    return result;
  } catch (error) {
    const failure = isLost(task)
      ? new OperatingError(ErrorCode.COW_LIMIT, COW_LIMIT_MESSAGE)
      : error;
    const code = Object.values(ErrorCode).find((known) => known === codeOf(failure));
    // An error without a code is a programmer error, and ends the program.
    if (code !== undefined) {
      ring.fail(code);
      control.fail(code, messageOf(failure));
    }
    throw failure;
  } finally {
    task.shadows.close();
  }
}

function save(
  image: Image,
  { image: { roots }, options }: SnapshotTask,
  ring: RingProducer,
  onProgress: SaveListener,
): SaveResult {
  const { commands, functions } = options;
  if (commands === undefined) return saveDump(image, roots, ring, options, onProgress);
  return saveCommands(image, roots, ring, commands, functions, onProgress);
}

const COW_LIMIT_MESSAGE = 'copy-on-write memory reached snapshot-cow-max';

/**
 * The loss of an image also wakes a task that waits for room in the ring, so a cancelled ring may
 * mean this.
 */
function isLost(task: SnapshotTask): boolean {
  return Atomics.load(new Int32Array(task.image.arena.words), FreezeWord.LOST) !== 0;
}

function chunksFrom(port: MessagePort): ChunkSource {
  const chunks: SharedArrayBuffer[] = [];
  return (index) => {
    for (;;) {
      const known = chunks[index];
      if (known !== undefined) return known;
      const received = receiveMessageOnPort(port);
      assert(
        received !== undefined,
        'a chunk of shadow pages is announced before a mark leads to it',
      );
      const message = received.message as ShadowMessage;
      chunks[message.index] = message.chunk;
    }
  };
}
