/**
 * Hot path. Connections that were answered and whose replies are sent at the end of the loop's
 * turn.
 *
 * One turn of the loop reads from all sockets that have something; the replies go out together
 * behind it, as Redis sends its own before it sleeps. A client process with many connections is
 * then woken once per turn and finds many replies, where a write behind each read would wake it as
 * often as there are connections.
 */

/** What is sent later. */
export interface Sender {
  /** In the queue already. */
  sendQueued: boolean;
  /** Who waits behind it. */
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
    // A flush may end a connection, which may let others send: those join the end of this run.
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
