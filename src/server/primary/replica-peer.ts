/**
 * Hot path. A replica of this node with its socket, and the writes to it, one in flight at a time.
 *
 *   lines          "+FULLRESYNC …", "$EOF:…", "\n": short, in front of the rest, never waited for
 *   dump           slices of a snapshot's spool, one per turn of the loop, at this peer's own pace
 *   stream         slices of the log, from the snapshot's offset or from where the peer had been
 *
 * A replica that gets its dump by a second connection is two of these: channels.ts.
 *
 * A dump that arrives from the primary of this node may be ahead of the stream here. The cursor then
 * opens when the dump is loaded, and until then nothing follows the dump.
 *
 * Bytes go from shared memory to the socket without a copy. A write that the kernel takes at once
 * is over when `write` returns; its later callback is ignored. Else the slice is in flight until
 * the callback, even if the peer is gone meanwhile; its memory may be reused only after that.
 *
 * replication/replica-state.ts decides what each phase allows. Main thread.
 */
import { assert } from '../../base/assert.ts';
import type { Offset } from '../../base/units.ts';
import { KIB, offsetAfter } from '../../base/units.ts';
import { sliceBytes } from '../../replication/fan-out.ts';
import {
  fullSyncLine,
  KEEPALIVE_LINE,
  payloadHeader,
  payloadTrailer,
} from '../../replication/full-sync.ts';
import type { StreamCursor } from '../../replication/log-cursor.ts';
import { OutputGauge } from '../../replication/output-limit.ts';
import { Framing, PeerEvent, Phase, ReplicaState } from '../../replication/replica-state.ts';
import type { StreamLog } from '../../replication/stream-log.ts';
import type { Connection } from '../net/connection.ts';
import type { Server } from '../server.ts';
import { type DumpReader, type DumpSnapshot, ReaderNeed } from '../snapshot-source.ts';
import type { FanOut, StreamTarget } from './fan-out.ts';
import { PeerRecord } from './peer-record.ts';

const DUMP_SLICE_BYTES = 256 * KIB;

/** The content of the write in flight. */
const Writing = { NOTHING: 0, DUMP: 1, TRAILER: 2, STREAM: 3 } as const;
type Writing = (typeof Writing)[keyof typeof Writing];

/** Reports of a peer on its full sync. */
export interface PeerListener {
  /** The first bytes of the dump are written. */
  dumpBegan(peer: ReplicaPeer): void;
  /** The dump and its end are written; the state tells what follows. */
  dumpSent(peer: ReplicaPeer): void;
  /** The rest of the dump will not come. */
  dumpFailed(peer: ReplicaPeer): void;
  /**
   * The dump of `snapshot` begins on a second connection. Returns the line before it, when that is
   * not the usual one.
   */
  channelBegins(peer: ReplicaPeer, snapshot: DumpSnapshot): string | undefined;
}

export class ReplicaPeer implements StreamTarget {
  readonly connection: Connection;
  readonly state: ReplicaState;
  readonly gauge = new OutputGauge();
  /** Its position in the log; undefined while it needs nothing of the log. */
  cursor: StreamCursor | undefined = undefined;
  /** The snapshot whose dump it reads. */
  snapshot: DumpSnapshot | undefined = undefined;
  /** Time of its request for a full sync, by the monotonic clock. */
  askedMs = 0;
  /** The two connections of a replica share one. */
  record = new PeerRecord();
  readonly #server: Server;
  readonly #fanOut: FanOut;
  readonly #listener: PeerListener;
  readonly #log: StreamLog;
  /** Where it stood in the stream when {@link noteProgress} last saw it move. */
  #seenOffset = -1;
  #reader: DumpReader | undefined = undefined;
  #mark = '';
  #writing: Writing = Writing.NOTHING;
  #writingBytes = 0;
  /** A slice of the dump follows in the next turn. */
  #dumpImmediate: NodeJS.Immediate | undefined = undefined;
  readonly #onWritten = (): void => this.#written();
  readonly #onDumpTurn = (): void => {
    this.#dumpImmediate = undefined;
    this.sendDump();
  };

  constructor(connection: Connection, server: Server, fanOut: FanOut, listener: PeerListener) {
    this.connection = connection;
    this.state = new ReplicaState(connection.remoteAddress);
    this.#server = server;
    this.#fanOut = fanOut;
    this.#listener = listener;
    this.#log = server.streamLog;
  }

  get isWriting(): boolean {
    return this.#writing !== Writing.NOTHING;
  }

  /** It has taken all there is of its dump: what it lacks is not made, or has not arrived. */
  get waitsForDump(): boolean {
    return (
      this.state.phase === Phase.SEND_BULK && !this.isWriting && this.#dumpImmediate === undefined
    );
  }

  /** Bytes of the stream that were not sent to it yet. */
  get streamLag(): number {
    return this.cursor === undefined ? 0 : this.cursor.lag;
  }

  /** The bytes of the stream that it lacks are compressed, and a worker expands them. */
  get isWaiting(): boolean {
    return this.cursor?.isWaiting === true;
  }

  /** An empty line came. */
  heardNewline(): void {
    this.state.heardNewline(this.#server.clock.turnMs());
  }

  /** Grants its request, and tells from which offset on it will get the stream. */
  continueFrom(replyLine: string, from: Offset, isBeside: boolean): void {
    this.answer(replyLine, isBeside ? PeerEvent.CONTINUE_BESIDE : PeerEvent.CONTINUE);
    this.#openCursor(from);
  }

  /** Writes the answer to its request. */
  answer(line: string, event: PeerEvent): void {
    this.state.apply(event, this.#server.clock.turnMs());
    this.#line(line);
  }

  /** It gets the stream from `from` on, while its dump goes by another connection. */
  streamBeside(from: Offset): void {
    this.state.apply(PeerEvent.STREAM_BESIDE, this.#server.clock.turnMs());
    this.#openCursor(from);
  }

  /** Keeps the stream from `from` on for its main connection. */
  reserve(from: Offset): void {
    this.#openCursor(from);
  }

  /** Its place in the log, which it no longer closes. */
  yieldCursor(): StreamCursor | undefined {
    const { cursor } = this;
    this.cursor = undefined;
    return cursor;
  }

  /** Called each second: what it has read of the stream since shows that it is alive. */
  noteProgress(nowMs: number): void {
    if (this.cursor === undefined || this.cursor.offset === this.#seenOffset) return;
    this.#seenOffset = this.cursor.offset;
    this.state.wrote(nowMs);
  }

  /** Begins to read the dump of `snapshot`; `mark` ends it if the framing has a mark. */
  takeDump(snapshot: DumpSnapshot, mark: string): void {
    const { state } = this;
    const nowMs = this.#server.clock.turnMs();
    this.snapshot = snapshot;
    this.#mark = mark;
    if (!state.rdbOnly && !snapshot.isAhead) this.#openCursor(offsetAfter(snapshot.startOffset, 1));
    const { announcedBytes } = snapshot;
    const flows = state.framing === Framing.EOF_MARK || announcedBytes >= 0;
    const need = flows ? ReaderNeed.OWN_PACE : ReaderNeed.WHOLE;
    this.#reader = snapshot.spool.openReader(() => this.sendDump(), need);
    const line =
      (state.isDumpChannel ? this.#listener.channelBegins(this, snapshot) : undefined) ??
      fullSyncLine(state, snapshot.replid, snapshot.startOffset);
    if (flows) {
      state.apply(PeerEvent.STREAM_DUMP, nowMs);
      this.#line(line + payloadHeader(state.framing, announcedBytes, mark));
      this.sendDump();
    } else {
      state.apply(PeerEvent.SPOOL_DUMP, nowMs);
      this.#line(line);
    }
  }

  /** The dump that it waits for is complete: its length can be told. */
  dumpReady(): void {
    assert(this.snapshot !== undefined, 'a peer that waits for a dump has a snapshot');
    this.state.apply(PeerEvent.DUMP_READY, this.#server.clock.turnMs());
    this.#line(payloadHeader(Framing.LENGTH, this.snapshot.spool.totalBytes, ''));
    this.sendDump();
  }

  /** The dump that it reads, or has read, is loaded: the log begins after it. */
  dumpLoaded(): void {
    assert(this.snapshot !== undefined, 'a peer whose dump is loaded has a snapshot');
    this.#openCursor(offsetAfter(this.snapshot.startOffset, 1));
    if (this.state.phase === Phase.WAIT_STREAM)
      this.state.streamBegins(this.#server.clock.turnMs());
  }

  /**
   * Writes the next slice of the dump, or its end. Called when there is more and nothing in flight.
   */
  sendDump(): void {
    const reader = this.#reader;
    if (reader === undefined || this.#dumpImmediate !== undefined || this.isWriting) return;
    if (reader.failed) {
      this.#listener.dumpFailed(this);
      return;
    }
    if (this.state.phase !== Phase.SEND_BULK) return;
    const bytes = reader.next(DUMP_SLICE_BYTES);
    if (bytes > 0) {
      const first = reader.position === 0;
      const view = Buffer.from(reader.bytes.buffer, reader.bytes.byteOffset + reader.start, bytes);
      this.#write(view, Writing.DUMP, bytes);
      if (first) this.#listener.dumpBegan(this);
    } else if (reader.atEnd) {
      const trailer = payloadTrailer(this.state.framing, this.#mark);
      if (trailer === '') this.#dumpSent();
      else this.#write(Buffer.from(trailer, 'latin1'), Writing.TRAILER, trailer.length);
    }
  }

  writeStream(bytesMax: number, all: boolean): number {
    const { cursor } = this;
    assert(cursor !== undefined, 'a peer that takes the stream has a cursor');
    let writes = 0;
    let left = all ? bytesMax : sliceBytes(cursor.lag, bytesMax);
    // A slice ends at a block's end, so there may be a second one.
    while (!this.isWriting && left > 0) {
      const bytes = cursor.next(left);
      if (bytes === 0) break;
      left -= bytes;
      writes++;
      this.#write(this.#fanOut.views.of(cursor), Writing.STREAM, bytes);
      if (this.isWriting) this.#fanOut.writeBegan();
    }
    return writes;
  }

  /**
   * Keeps a waiting peer from giving up. If its socket takes nothing, a second line is not needed.
   */
  sendKeepalive(): void {
    if (this.connection.writer.waitingBytes === 0) this.#line(KEEPALIVE_LINE);
  }

  /** Writes a last line and closes. */
  refuse(line: string): void {
    this.#line(line);
    this.state.apply(PeerEvent.CLOSE, this.#server.clock.turnMs());
    this.closeGracefully();
  }

  /** Closes after all written bytes. */
  closeGracefully(): void {
    this.connection.closeAfterReply = true;
    this.connection.flush();
  }

  /** The connection is gone. A slice in flight stays with the socket until its callback. */
  close(): void {
    if (this.state.phase !== Phase.CLOSED)
      this.state.apply(PeerEvent.CLOSE, this.#server.clock.turnMs());
    this.releaseDump();
    if (this.cursor !== undefined) this.#log.closeCursor(this.cursor);
  }

  /** Reads no more of the dump. */
  releaseDump(): void {
    clearImmediate(this.#dumpImmediate);
    this.#dumpImmediate = undefined;
    this.snapshot = undefined;
    this.#reader?.close();
    if (this.#writing !== Writing.DUMP) this.#reader = undefined;
  }

  #openCursor(from: Offset): void {
    const cursor = this.#log.openCursor(from);
    cursor.onReady = () => {
      if (cursor.failed) this.connection.destroy();
      else this.#fanOut.wake(this);
    };
    this.cursor = cursor;
    this.record.startOffset = from - 1;
  }

  #line(text: string): void {
    if (text === '') return;
    this.#count(text.length);
    this.connection.writer.write(Buffer.from(text, 'latin1'));
  }

  #count(bytes: number): void {
    const { stats } = this.#server;
    stats.netOutputBytes += bytes;
    stats.netReplOutputBytes += bytes;
    stats.writesProcessed++;
    this.connection.netOutputBytes += bytes;
  }

  #write(bytes: Buffer, what: Writing, count: number): void {
    this.#writing = what;
    this.#writingBytes = count;
    this.#count(count);
    if (what === Writing.DUMP) this.record.dumpBytes += count;
    if (this.connection.writer.write(bytes, this.#onWritten)) this.#writtenAtOnce();
  }

  /** The kernel took the whole write, in the turn of the write. */
  #writtenAtOnce(): void {
    const what = this.#writing;
    this.#writing = Writing.NOTHING;
    switch (what) {
      case Writing.STREAM:
        this.cursor!.advance(this.#writingBytes);
        break;
      case Writing.DUMP:
        this.#reader!.advance(this.#writingBytes);
        this.state.wrote(this.#server.clock.turnMs());
        // Other work runs between two slices.
        this.#dumpImmediate = setImmediate(this.#onDumpTurn);
        break;
      case Writing.TRAILER:
        this.#dumpSent();
        break;
      default:
    }
  }

  /** The write in flight has ended or failed. */
  #written(): void {
    const what = this.#writing;
    this.#writing = Writing.NOTHING;
    const { closed } = this.connection;
    switch (what) {
      case Writing.STREAM:
        this.cursor!.advance(this.#writingBytes);
        if (!closed) this.#fanOut.writeEnded(this);
        break;
      case Writing.DUMP:
        this.#reader!.advance(this.#writingBytes);
        if (this.snapshot === undefined) this.#reader = undefined;
        if (closed) break;
        this.state.wrote(this.#server.clock.turnMs());
        this.sendDump();
        break;
      case Writing.TRAILER:
        if (!closed) this.#dumpSent();
        break;
      default:
    }
  }

  #dumpSent(): void {
    this.state.dumpSent(this.#server.clock.turnMs(), this.snapshot?.isAhead === true);
    this.#listener.dumpSent(this);
  }
}
