/**
 * Hot path. Connections whose replies are sent at the end of the loop's turn, or before it when
 * many wait.
 *
 * One turn of the loop reads from all sockets that have input; the replies go out together after
 * it, as Redis sends its replies before it sleeps. A client process with many connections is then
 * woken once per turn and finds many replies. A write after each read would wake it once per
 * connection.
 */

/**
 * When so many connections wait, they are sent before the turn ends. In a turn with a thousand
 * clients the first of them would else wait for the reads of all others, and what is needed to send
 * a reply would have left the processor's caches by then. bench: get-set, 1,000 clients
 */
export const WAITING_MAX = 64;

/** A connection with replies to send. */
export interface Sender {
  /** Already in the queue. */
  sendQueued: boolean;
  /** The next one in the queue. */
  nextSender: Sender | undefined;
  flush(): void;
}

export class SendQueue {
  #first: Sender | undefined = undefined;
  #last: Sender | undefined = undefined;
  #count = 0;
  #isDue = false;
  readonly #onTurnEnd = (): void => {
    this.#sendAll();
    this.#isDue = false;
  };

  /** Lets `sender` flush once all reads of this turn are done, or in {@link readEnded}. */
  add(sender: Sender): void {
    if (sender.sendQueued) return;
    sender.sendQueued = true;
    if (this.#last === undefined) this.#first = sender;
    else this.#last.nextSender = sender;
    this.#last = sender;
    this.#count++;
    if (this.#isDue) return;
    this.#isDue = true;
    setImmediate(this.#onTurnEnd);
  }

  /**
   * The read event of a connection is over: sends the replies that wait if they are many. Must not
   * be called while a command runs: the connection of that command may be in the queue.
   */
  readEnded(): void {
    if (this.#count >= WAITING_MAX) this.#sendAll();
  }

  #sendAll(): void {
    // A flush may end a connection and so make others send: these join the end of this run.
    for (let sender = this.#first; sender !== undefined; sender = this.#first) {
      this.#first = sender.nextSender;
      if (this.#first === undefined) this.#last = undefined;
      sender.nextSender = undefined;
      sender.sendQueued = false;
      sender.flush();
    }
    this.#count = 0;
  }
}
