/**
 * A connection that asks another node questions and reads its answers, beside the link and from its
 * source address.
 *
 *   AUTH … ─▶   ask(…) ─▶   ask(…) ─▶
 *        ◀─ +OK       ◀─ $n …     ◀─ -ERR …      answers come in the order of the questions
 *
 * An answer is a line or a bulk string of at most `bytesMax` bytes; a longer one, or an answer that
 * does not come in time, ends the connection. Each question ends with its answer or with an
 * OperatingError: UNSUPPORTED when the node answered with an error, CORRUPT when it answered what
 * it may not, IO when the connection is gone. Main thread.
 */
import type { Socket } from 'node:net';
import { ErrorCode, messageOf, OperatingError } from '../../base/errors.ts';
import { KIB } from '../../base/units.ts';
import { request } from '../../replication/link-handshake.ts';
import { connectFrom } from './outgoing.ts';

const ANSWER_TIMEOUT_MS = 5000;
const READ_BYTES = 16 * KIB;
/** Bytes of a line, and of the framing of a bulk string. */
const LINE_BYTES_MAX = 1024;

export interface InquiryTarget {
  readonly host: string;
  readonly port: number;
  /** `bind-source-addr`, or empty. */
  readonly source: string;
  readonly user: string;
  /** Empty for no AUTH. */
  readonly password: string;
}

interface Question {
  readonly text: string;
  readonly resolve: (answer: string) => void;
  readonly reject: (error: OperatingError) => void;
  readonly timer: NodeJS.Timeout;
}

export class Inquiry {
  /** Address and port of this end, once the connection is there. */
  localAddress = '';
  localPort = 0;
  readonly #target: InquiryTarget;
  readonly #bytesMax: number;
  readonly #questions: Question[] = [];
  #socket: Socket;
  /** The bytes of an answer that is not whole yet, in latin1. */
  #text = '';
  #failure: OperatingError | undefined = undefined;

  constructor(target: InquiryTarget, bytesMax: number) {
    this.#target = target;
    this.#bytesMax = bytesMax;
    this.#socket = this.#connect(target.source);
    const { user, password } = target;
    if (password === '') return;
    // A refusal ends the connection, and so the questions behind it.
    this.ask('AUTH', ...(user === '' ? [password] : [user, password])).catch(
      (error: OperatingError) => this.#fail(error),
    );
  }

  get isClosed(): boolean {
    return this.#failure !== undefined;
  }

  /** Resolves with the answer, as latin1. */
  ask(...words: string[]): Promise<string> {
    return new Promise((resolve, reject) => {
      if (this.#failure !== undefined) {
        reject(this.#failure);
        return;
      }
      const timer = setTimeout(
        () => this.#fail(new OperatingError(ErrorCode.IO, 'no answer in time')),
        ANSWER_TIMEOUT_MS,
      );
      const text = request(...words);
      this.#questions.push({ text, resolve, reject, timer });
      this.#socket.write(text, 'latin1');
    });
  }

  close(): void {
    this.#fail(new OperatingError(ErrorCode.CANCELLED, 'the connection is not needed any more'));
  }

  /** Connects from the address `source`, or from any when it is empty. */
  #connect(source: string): Socket {
    const { host, port } = this.#target;
    const buffer = Buffer.allocUnsafeSlow(READ_BYTES);
    const onread = {
      buffer,
      callback: (count: number): boolean => {
        if (this.#socket === socket) this.#received(buffer.toString('latin1', 0, count));
        return true;
      },
    };
    const socket = connectFrom({ host, port, onread }, source, () => {
      if (this.#failure !== undefined) return;
      this.#socket = this.#connect('');
      // What was written to the first socket has not left.
      for (const { text } of this.#questions) this.#socket.write(text, 'latin1');
    });
    socket.on('connect', () => {
      this.localAddress = socket.localAddress ?? '';
      this.localPort = socket.localPort ?? 0;
    });
    let reason = 'the connection was closed';
    socket.on('error', (error) => {
      reason = messageOf(error);
    });
    socket.on('close', () => {
      if (this.#socket === socket) this.#fail(new OperatingError(ErrorCode.IO, reason));
    });
    return socket;
  }

  #received(text: string): void {
    if (this.#failure !== undefined) return;
    this.#text += text;
    try {
      while (this.#takeAnswer()) {
        // Each call takes one answer.
      }
    } catch (error) {
      if (!(error instanceof OperatingError)) throw error;
      this.#fail(error);
    }
  }

  /** Takes one whole answer. Returns false when there is none. Throws CORRUPT. */
  #takeAnswer(): boolean {
    const text = this.#text;
    const end = text.indexOf('\r\n');
    if (end < 0 ? text.length > LINE_BYTES_MAX : end > LINE_BYTES_MAX)
      throw new OperatingError(ErrorCode.CORRUPT, 'a line that does not end');
    if (end < 0) return false;
    const line = text.slice(1, end);
    switch (text[0]) {
      case '+':
      case ':':
        this.#answer(end + 2).resolve(line);
        return true;
      case '-':
        this.#answer(end + 2).reject(new OperatingError(ErrorCode.UNSUPPORTED, line));
        return true;
      case '$': {
        const bytes = /^\d{1,9}$/.test(line) ? Number(line) : Number.NaN;
        if (!(bytes <= this.#bytesMax))
          throw new OperatingError(ErrorCode.CORRUPT, `an answer of '${line}' bytes`);
        const from = end + 2;
        if (text.length < from + bytes + 2) return false;
        this.#answer(from + bytes + 2).resolve(text.slice(from, from + bytes));
        return true;
      }
      default:
        throw new OperatingError(ErrorCode.CORRUPT, 'an answer of another kind');
    }
  }

  /** Takes `bytes` bytes for the answer to the first question, and returns that question. */
  #answer(bytes: number): Question {
    this.#text = this.#text.slice(bytes);
    const question = this.#questions.shift();
    if (question === undefined)
      throw new OperatingError(ErrorCode.CORRUPT, 'an answer without a question');
    clearTimeout(question.timer);
    return question;
  }

  #fail(error: OperatingError): void {
    if (this.#failure !== undefined) return;
    this.#failure = error;
    this.#text = '';
    this.#socket.destroy();
    for (const { reject, timer } of this.#questions.splice(0)) {
      clearTimeout(timer);
      reject(error);
    }
  }
}
