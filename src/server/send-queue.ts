/**
 * Hot path. Connections that were answered and whose replies are sent at the end of the loop's turn.
 *
 * One turn of the loop reads from all sockets that have something; the replies go out together behind it, as Redis
 * sends its own before it sleeps. A client process with many connections is then woken once per turn and finds many
 * replies, where a write behind each read would wake it as often as there are connections.
 */

/** What is sent later. */
export interface Sender {
  /** In the queue already. */
  sendQueued: boolean;
  flush(): void;
}

export class SendQueue {
  /** Those who wait are the first `#count`. */
  readonly #senders: (Sender | undefined)[] = [];
  #count = 0;
  readonly #onTurnEnd = (): void => this.#sendAll();

  /** Lets `sender` flush once all reads of this turn are done. */
  add(sender: Sender): void {
    if (sender.sendQueued) return;
    sender.sendQueued = true;
    this.#senders[this.#count++] = sender;
    if (this.#count === 1) setImmediate(this.#onTurnEnd);
  }

  #sendAll(): void {
    const senders = this.#senders;
    // A flush may end a connection, which may let others send: those join the end of this run.
    for (let i = 0; i < this.#count; i++) {
      const sender = senders[i]!;
      senders[i] = undefined;
      sender.sendQueued = false;
      sender.flush();
    }
    this.#count = 0;
  }
}
