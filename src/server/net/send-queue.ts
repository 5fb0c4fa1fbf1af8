/**
 * Hot path. Connections whose replies are sent at the end of the loop's turn.
 *
 * One turn of the loop reads from all sockets that have input; the replies go out together after
 * it, as Redis sends its replies before it sleeps. A client process with many connections is then
 * woken once per turn and finds many replies. A write after each read would wake it once per
 * connection.
 */

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
  #isDue = false;
  readonly #onTurnEnd = (): void => this.#sendAll();

  /** Lets `sender` flush once all reads of this turn are done. */
  add(sender: Sender): void {
    if (sender.sendQueued) return;
    sender.sendQueued = true;
    if (this.#last === undefined) this.#first = sender;
    else this.#last.nextSender = sender;
    this.#last = sender;
    if (this.#isDue) return;
    this.#isDue = true;
    setImmediate(this.#onTurnEnd);
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
    this.#isDue = false;
  }
}
