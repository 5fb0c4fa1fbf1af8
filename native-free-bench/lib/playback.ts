/**
 * A primary that plays back a recording: it answers a sync with the dump and the stream that a fake
 * replica received. A stock replica that syncs with it must get the dataset of the real primary.
 * This proves the measured bytes.
 */
import { once } from 'node:events';
import net from 'node:net';

export interface Recording {
  readonly replid: string;
  /** Offset of the dump. The stream begins with the byte behind it. */
  readonly offset: number;
  readonly dump: readonly Buffer[];
  readonly stream: Iterable<Buffer>;
}

export class Playback {
  readonly port: number;
  /** Number of requests for a sync. With more than one, a replica has dropped its link. */
  syncs = 0;
  readonly #recording: Recording;
  readonly #server: net.Server;
  readonly #sockets = new Set<net.Socket>();

  private constructor(recording: Recording, server: net.Server) {
    this.#recording = recording;
    this.#server = server;
    this.port = (server.address() as net.AddressInfo).port;
    server.on('connection', (socket) => this.#accept(socket));
  }

  static async start(recording: Recording): Promise<Playback> {
    const server = net.createServer({ noDelay: true });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return new Playback(recording, server);
  }

  stop(): void {
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
  }

  #accept(socket: net.Socket): void {
    let text = '';
    let isPlaying = false;
    this.#sockets.add(socket);
    socket.on('error', () => socket.destroy());
    socket.on('close', () => this.#sockets.delete(socket));
    socket.on('data', (chunk: Buffer) => {
      // After the sync only acknowledgements arrive.
      if (isPlaying) return;
      text += chunk.toString('latin1');
      for (let bytes = requestBytes(text); bytes > 0; bytes = requestBytes(text)) {
        const name = (text.split('\r\n', 3)[2] ?? '').toUpperCase();
        text = text.slice(bytes);
        if (name === 'PSYNC') {
          isPlaying = true;
          this.#play(socket);
          return;
        }
        socket.write(name === 'PING' ? '+PONG\r\n' : '+OK\r\n');
      }
    });
  }

  #play(socket: net.Socket): void {
    this.syncs++;
    const { replid, offset, dump, stream } = this.#recording;
    const dumpBytes = dump.reduce((bytes, part) => bytes + part.length, 0);
    socket.write(`+FULLRESYNC ${replid} ${offset}\r\n$${dumpBytes}\r\n`);
    for (const part of dump) socket.write(part);
    for (const part of stream) socket.write(part);
  }
}

/** The requests of a handshake have few words. */
const LINES_MAX = 100;

/**
 * Returns the bytes of the first request in `text`, or 0 when it is incomplete. Its words have no
 * line ends.
 */
function requestBytes(text: string): number {
  const lines = text.split('\r\n', LINES_MAX);
  const wanted = 1 + 2 * Number(lines[0]?.slice(1));
  if (!Number.isInteger(wanted) || lines.length <= wanted) return 0;
  return lines.slice(0, wanted).reduce((bytes, line) => bytes + line.length + '\r\n'.length, 0);
}
