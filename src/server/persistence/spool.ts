/**
 * Passes the bytes of a dump from its maker to the readers, which each have their own pace. The
 * maker is a worker that serializes, or the primary of this node whose dump is passed on.
 *
 *   dump    0 ─────────── file.start ───────── memory ────────────────────── producedBytes
 *           released      spilled to a file    chunks of the source (chunk-source.ts)
 *                         ▲ slow reader        ▲ reader        ▲ reader
 *
 * Chunks stay where the maker put them and readers get slices of them, without a copy. When there
 * are too many, the oldest chunk leaves, if it may:
 *
 *   readers not past it            what happens
 *   none                           the source gets it back; a reader that only keeps the dump open does not count
 *   a save                         the maker waits for the save, which never reads the file
 *   replicas                       it goes to the file, so that the slowest delays neither maker nor others
 *   replicas, file refused         the maker waits for them; one that needs the whole dump first fails
 *
 * A reader that is in the file reads it through its own buffer. A file is refused when the system
 * has not created it or not taken a byte (no space, no permission, no descriptor). The refusal
 * holds for the rest of the dump, and memory stays within that of the source. The image stays frozen
 * longer then, and `snapshot-cow-max` limits the cost.
 *
 * A chunk must not be refilled while a socket holds a slice of it in flight: its slices are counted,
 * and its memory is exchanged for a spare one. If spares run out, the readers that hold the chunk
 * fail.
 *
 * A reader may open while byte 0 is still in memory or in the file. Main thread.
 */
import { assert } from '../../base/assert.ts';
import { codeOf, ErrorCode, messageOf, OperatingError } from '../../base/errors.ts';
import { KIB } from '../../base/units.ts';
import { ReaderNeed } from '../snapshot-source.ts';
import type { ChunkSource } from './chunk-source.ts';
import { type OpenSpill, SpillFile } from './spill-file.ts';

const READ_BYTES = 256 * KIB;
const NO_BYTES = new Uint8Array(0);
/** `detachedArea` of a chunk that is still in its place. */
const IN_PLACE = -1;

/** A chunk of the dump in shared memory. */
class Chunk {
  /** Only the newest chunk may grow. */
  bytes: Uint8Array;
  /** Positions in the dump. */
  readonly start: number;
  end: number;
  /** Slices in flight. */
  pins = 0;
  detachedArea = IN_PLACE;

  constructor(bytes: Uint8Array, start: number) {
    this.bytes = bytes;
    this.start = start;
    this.end = start + bytes.length;
  }
}

export interface SpoolOptions {
  readonly openSpill: OpenSpill;
  /** Called when nobody can join any more, because the first byte was released. */
  readonly onFirstByteGone: () => void;
  /** Called when the last reader has closed. */
  readonly onIdle: () => void;
  /** Called when bytes went to the file, and once when the file was refused. */
  readonly onSpilled?: (bytes: number) => void;
  readonly onFileRefused?: (reason: string) => void;
  /**
   * Called when the spool is closed and no slice is in flight: the memory of the source is unused.
   */
  readonly onReleased?: () => void;
}

export class Spool {
  /** Bytes of the dump so far. */
  producedBytes = 0;
  /** Bytes that readers have confirmed, of all of them together. */
  readBytes = 0;
  /** The dump is complete. */
  ended = false;
  /** Why the dump, or the part of it that readers need, will not come; readers fail with it. */
  error: OperatingError | undefined = undefined;
  readonly #source: ChunkSource;
  readonly #options: SpoolOptions;
  readonly #readers = new Set<SpoolReader>();
  /** Chunks that are in memory, in order. */
  readonly #chunks: Chunk[] = [];
  /** Index of the next chunk that the source will give. */
  #nextIndex = 0;
  #file: SpillFile | undefined = undefined;
  #spilling = false;
  #fileRefused = false;
  #firstByteGone = false;
  /**
   * Chunks that are free whenever the disk is fast enough, so that the maker does not wait for it.
   */
  readonly #headroomChunks: number;
  #closed = false;
  /** Slices in flight, of all chunks. */
  #slices = 0;

  constructor(source: ChunkSource, options: SpoolOptions) {
    this.#source = source;
    this.#options = options;
    this.#headroomChunks = Math.max(1, source.chunkCount >>> 3);
  }

  /** Bytes of the whole dump, -1 until it is complete. */
  get totalBytes(): number {
    return this.ended ? this.producedBytes : -1;
  }

  /** A new reader still gets the dump from its first byte. */
  get hasFirstByte(): boolean {
    if (this.#closed || this.error !== undefined) return false;
    const first = this.#file ?? this.#chunks[0];
    return first === undefined ? this.producedBytes === 0 : first.start === 0;
  }

  get readerCount(): number {
    return this.#readers.size;
  }

  /** Dump bytes in memory. */
  get memoryBytes(): number {
    const first = this.#chunks[0];
    let bytes = first === undefined ? 0 : this.producedBytes - first.start;
    for (const reader of this.#readers) bytes += reader.bufferBytes;
    return bytes;
  }

  /** Dump bytes in the file. */
  get fileBytes(): number {
    return this.#file?.bytes ?? 0;
  }

  /**
   * Opens a reader at byte 0, which must be there: see {@link hasFirstByte}. After a `next` that
   * returned 0, `onData` is called when there is more, or the end, or a failure.
   */
  openReader(onData: () => void, need: ReaderNeed): SpoolReader {
    assert(this.hasFirstByte, 'a reader opens while the first byte is there');
    const reader = new SpoolReader(this, onData, need);
    this.#readers.add(reader);
    return reader;
  }

  /**
   * Takes the maker's bytes until the maker has ended. Resolves when no more will come, whether
   * the dump is complete or not.
   */
  async pump(): Promise<void> {
    const source = this.#source;
    for (;;) {
      await source.waitForData(this.#nextIndex, this.#chunks.at(-1)?.bytes.length ?? 0);
      if (this.#closed) return;
      // Check for the end before the chunks: a chunk that comes in between is seen next time.
      const hasEnded = source.ended;
      this.#takeChunks();
      if (this.error !== undefined || source.cancelled) return;
      if (hasEnded) {
        if (source.failure === undefined) this.#end();
        return;
      }
      this.#relieve();
    }
  }

  /**
   * The dump will not be complete: readers fail, and the maker is told that its bytes are not
   * needed.
   */
  fail(error: OperatingError): void {
    if (this.ended || this.error !== undefined) return;
    this.error = error;
    this.#source.cancel();
    for (const reader of [...this.#readers]) reader.fail(error);
  }

  /** Frees everything that no slice in flight holds. Nobody may read any more. */
  close(): void {
    assert(this.#readers.size === 0, 'a spool closes behind its readers');
    if (this.#closed) return;
    this.#closed = true;
    this.#chunks.length = 0;
    this.#file?.retire();
    this.#file = undefined;
    if (this.#slices === 0 && !this.#spilling) this.#options.onReleased?.();
  }

  // For readers.

  pin(chunk: Chunk): void {
    chunk.pins++;
    this.#slices++;
  }

  /** The chunk in memory that holds `position`, or undefined when memory does not hold it. */
  chunkAt(position: number): Chunk | undefined {
    const chunks = this.#chunks;
    if (chunks.length === 0 || position < chunks[0]!.start || position >= this.producedBytes)
      return undefined;
    let low = 0;
    let high = chunks.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >>> 1;
      if (chunks[middle]!.start <= position) low = middle;
      else high = middle - 1;
    }
    return chunks[low];
  }

  /** The file that holds `position`. */
  fileAt(position: number): SpillFile | undefined {
    const file = this.#file;
    return file !== undefined && position >= file.start && position < file.end ? file : undefined;
  }

  unpin(chunk: Chunk): void {
    chunk.pins--;
    this.#slices--;
    if (chunk.pins === 0) {
      if (chunk.detachedArea !== IN_PLACE) this.#source.reattach(chunk.detachedArea);
      chunk.detachedArea = IN_PLACE;
    }
    if (this.#closed && this.#slices === 0 && !this.#spilling) this.#options.onReleased?.();
  }

  /** A reader has moved on. */
  moved(): void {
    if (!this.ended) this.#relieve();
  }

  closed(reader: SpoolReader): void {
    this.#readers.delete(reader);
    this.moved();
    if (this.#readers.size === 0) this.#options.onIdle();
  }

  #takeChunks(): void {
    const source = this.#source;
    const end = source.firstIndex + source.available;
    const before = this.producedBytes;
    const last = this.#chunks.at(-1);
    if (last !== undefined) {
      last.bytes = source.chunk(this.#nextIndex - 1);
      this.producedBytes = last.end = last.start + last.bytes.length;
    }
    while (this.#nextIndex < end) {
      const chunk = new Chunk(source.chunk(this.#nextIndex++), this.producedBytes);
      this.#chunks.push(chunk);
      this.producedBytes = chunk.end;
    }
    if (this.producedBytes === before) return;
    for (const reader of [...this.#readers]) reader.wake();
  }

  #end(): void {
    this.ended = true;
    for (const reader of [...this.#readers]) reader.wake();
  }

  /** Makes room in memory while it is too full. */
  #relieve(): void {
    const { chunkCount } = this.#source;
    while (
      !this.#spilling &&
      !this.ended &&
      this.#chunks.length > chunkCount - this.#headroomChunks
    ) {
      const oldest = this.#chunks[0]!;
      const need = this.#needOf(oldest);
      if (need === ReaderNeed.WORKER_WAITS) break;
      if (need !== ReaderNeed.NOTHING) {
        if (!this.#fileRefused) {
          this.#spill(oldest);
          return;
        }
        if (this.#failWhole(oldest)) continue;
        break;
      }
      if (this.#file !== undefined) this.#dropFile();
      if (!this.#release(oldest)) return;
    }
    if (!this.#firstByteGone && !this.hasFirstByte) {
      this.#firstByteGone = true;
      this.#options.onFirstByteGone();
    }
  }

  /** The strictest need of the readers that are not past `chunk`. */
  #needOf(chunk: Chunk): ReaderNeed {
    let strictest: ReaderNeed = ReaderNeed.NOTHING;
    for (const reader of this.#readers) {
      if (reader.failed || reader.position >= chunk.end) continue;
      if (reader.need > strictest) strictest = reader.need;
    }
    return strictest;
  }

  /**
   * Gives the oldest chunk back to the source; false when slices of it are in flight and there is
   * no spare memory.
   */
  #release(oldest: Chunk): boolean {
    if (oldest.pins > 0) {
      const area = this.#source.detach();
      if (area < 0) {
        this.#failHolders(oldest);
        return false;
      }
      oldest.detachedArea = area;
    }
    this.#chunks.shift();
    this.#source.release(1);
    return true;
  }

  /**
   * Sockets hold too many slices: the readers of the oldest chunk fail, and their slices come back.
   */
  #failHolders(chunk: Chunk): void {
    const error = new OperatingError(ErrorCode.IO, 'too many readers of the dump stand still');
    for (const reader of [...this.#readers]) if (reader.holds(chunk)) reader.fail(error);
  }

  /** Appends the oldest chunk to the file, and gives it back. */
  async #spill(oldest: Chunk): Promise<void> {
    const file = this.#file ?? new SpillFile(this.#options.openSpill, oldest.start);
    this.#file = file;
    assert(file.end === oldest.start, 'the file ends where memory begins');
    this.#spilling = true;
    let failure: unknown;
    try {
      await file.append(oldest.bytes);
    } catch (error) {
      failure = error;
    }
    this.#spilling = false;
    if (this.#closed && this.#slices === 0) this.#options.onReleased?.();
    if (this.#closed || this.error !== undefined) return;
    if (failure !== undefined) {
      // Only an error of the file system is an operating error.
      if (codeOf(failure) !== ErrorCode.IO) throw failure;
      this.#fileRefused = true;
      this.#options.onFileRefused?.(messageOf(failure));
      // The file keeps its bytes for the readers that are in it.
      if (file.bytes === 0) this.#dropFile();
    } else if (!this.#release(oldest)) {
      // The chunk could not leave memory, so the file does without it.
      file.end = oldest.start;
      return;
    } else {
      this.#options.onSpilled?.(oldest.bytes.length);
    }
    this.#relieve();
  }

  /**
   * Fails the readers that need `chunk` and read only at the end: they would wait for ever. False
   * when there are none.
   */
  #failWhole(chunk: Chunk): boolean {
    const error = new OperatingError(
      ErrorCode.IO,
      'the dump has no room on disk to wait for its end',
    );
    let any = false;
    for (const reader of [...this.#readers]) {
      if (reader.need !== ReaderNeed.WHOLE || reader.failed || reader.position >= chunk.end)
        continue;
      reader.fail(error);
      any = true;
    }
    return any;
  }

  #dropFile(): void {
    this.#file?.retire();
    this.#file = undefined;
  }
}

/**
 * A reader's place in the dump. `next` describes a slice in the fields; `advance` confirms the
 * written part of it. The slice stays unchanged until its `advance`, also when the reader is closed
 * in between. A caller with a slice in flight calls `advance` when the write is over, also when it
 * failed.
 *
 *   if (reader.next(256 * KIB) > 0) write(reader.bytes, reader.start, reader.end, () => reader.advance(written));
 */
export class SpoolReader {
  /** The slice is bytes[start … end). */
  bytes: Uint8Array = NO_BYTES;
  start = 0;
  end = 0;
  /** Position in the dump of the next byte to be confirmed. */
  position = 0;
  /** The reader will get no more bytes: see {@link error}. */
  failed = false;
  error: OperatingError | undefined = undefined;
  closed = false;
  readonly need: ReaderNeed;
  readonly #spool: Spool;
  readonly #onData: () => void;
  /** A slice was given and not confirmed. */
  #inFlight = false;
  /** The chunk of the slice in flight; undefined when the slice lies in the reader's buffer. */
  #chunk: Chunk | undefined = undefined;
  /** The last `next` returned 0. */
  #waiting = false;
  /** The bytes read from the file: bytes of the dump from #bufferStart to #bufferEnd. */
  #buffer: Uint8Array = NO_BYTES;
  #bufferStart = 0;
  #bufferEnd = 0;
  #reading = false;

  constructor(spool: Spool, onData: () => void, need: ReaderNeed) {
    this.#spool = spool;
    this.#onData = onData;
    this.need = need;
  }

  /** The dump is complete and all of it was read. */
  get atEnd(): boolean {
    return this.#spool.ended && this.position === this.#spool.producedBytes;
  }

  /** Memory of the buffer for the file. */
  get bufferBytes(): number {
    return this.#buffer.length;
  }

  /**
   * Bytes of the next slice, at most `bytesMax`. 0 means that there is none now: `onData` will be
   * called.
   */
  next(bytesMax: number): number {
    assert(!this.#inFlight, 'a reader has one slice in flight');
    if (this.failed || this.closed) return 0;
    const count = this.#fromMemory(bytesMax) || this.#fromBuffer(bytesMax);
    this.#inFlight = count > 0;
    this.#waiting = count === 0;
    if (count === 0) this.#readAhead();
    return count;
  }

  /**
   * Confirms `bytes` of the slice; fewer than its size means that the rest comes with the next
   * slice.
   */
  advance(bytes: number): void {
    assert(this.#inFlight, 'a slice is in flight');
    assert(bytes >= 0 && bytes <= this.end - this.start, 'a reader advances within its slice');
    this.#inFlight = false;
    this.position += bytes;
    const chunk = this.#chunk;
    this.#chunk = undefined;
    if (chunk !== undefined) this.#spool.unpin(chunk);
    this.#spool.readBytes += bytes;
    if (this.closed) this.#buffer = this.bytes = NO_BYTES;
    this.#spool.moved();
  }

  /** Stops reading. A slice in flight stays unchanged until its {@link advance}. */
  close(): void {
    if (this.closed) return;
    this.closed = true;
    if (!this.#inFlight) this.#buffer = this.bytes = NO_BYTES;
    this.#spool.closed(this);
  }

  // For the spool.

  /** There is more, or the end. */
  wake(): void {
    if (!this.#waiting || this.#reading) return;
    this.#waiting = false;
    this.#onData();
  }

  fail(error: OperatingError): void {
    if (this.failed || this.closed) return;
    this.failed = true;
    this.error = error;
    this.#waiting = false;
    this.#onData();
  }

  /** Whether a slice of `chunk` is in flight. */
  holds(chunk: Chunk): boolean {
    return this.#chunk === chunk;
  }

  #fromMemory(bytesMax: number): number {
    const chunk = this.#spool.chunkAt(this.position);
    if (chunk === undefined) return 0;
    this.#spool.pin(chunk);
    this.#chunk = chunk;
    this.bytes = chunk.bytes;
    this.start = this.position - chunk.start;
    this.end = Math.min(this.start + bytesMax, chunk.bytes.length);
    return this.end - this.start;
  }

  #fromBuffer(bytesMax: number): number {
    if (this.position < this.#bufferStart || this.position >= this.#bufferEnd) return 0;
    this.bytes = this.#buffer;
    this.start = this.position - this.#bufferStart;
    this.end = Math.min(this.start + bytesMax, this.#bufferEnd - this.#bufferStart);
    return this.end - this.start;
  }

  /** Reads the file further, when the next byte is there. */
  async #readAhead(): Promise<void> {
    const file = this.#spool.fileAt(this.position);
    if (file === undefined || this.#reading) return;
    if (this.#buffer.length === 0) this.#buffer = Buffer.allocUnsafeSlow(READ_BYTES);
    this.#reading = true;
    const { position } = this;
    const buffer = this.#buffer;
    let count = 0;
    let failure: unknown;
    try {
      count = await file.readAt(position, buffer);
    } catch (error) {
      failure = error;
    }
    this.#reading = false;
    if (this.failed || this.closed) return;
    if (failure !== undefined) {
      if (codeOf(failure) !== ErrorCode.IO) throw failure;
      this.fail(
        new OperatingError(ErrorCode.IO, `reading the spool failed: ${messageOf(failure)}`),
      );
      return;
    }
    this.#bufferStart = position;
    this.#bufferEnd = position + count;
    this.wake();
  }
}
