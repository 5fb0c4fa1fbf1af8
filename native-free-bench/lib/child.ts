/**
 * Helper processes of a measurement: load generator, fake replicas, prober. Each has its own
 * processor, if there are enough, and none disturbs the timers of another. This file has both ends
 * of the calls between them.
 *
 * An API is an interface of asynchronous methods with at most one argument. Arguments and results
 * are plain data.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';

type Method = (argument: never) => Promise<unknown>;
type ArgumentOf<M> = M extends (argument: infer A) => Promise<unknown> ? A : never;
type ResultOf<M> = M extends (argument: never) => Promise<infer R> ? R : never;

interface Request {
  readonly id: number;
  readonly name: string;
  readonly argument: unknown;
}

interface Response {
  readonly id: number;
  readonly result?: unknown;
  readonly error?: string;
}

interface Waiting {
  readonly resolve: (result: unknown) => void;
  readonly reject: (error: Error) => void;
}

/** The parent's end. */
export class Child<Api extends object> {
  readonly #process: ChildProcess;
  readonly #waiting = new Map<number, Waiting>();
  #nextId = 1;

  /** Starts the compiled module at `entry`, which ends in a call of {@link serve}. */
  constructor(entry: URL) {
    this.#process = fork(fileURLToPath(entry), { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
    this.#process.on('message', (message) => this.#settle(message as Response));
    this.#process.on('exit', (code) =>
      this.#fail(new Error(`${entry.pathname} ended with ${code}`)),
    );
    this.#process.on('error', (error) => this.#fail(error));
  }

  call<Name extends keyof Api & string>(
    name: Name,
    argument: ArgumentOf<Api[Name]>,
  ): Promise<ResultOf<Api[Name]>> {
    return new Promise((resolve, reject) => {
      const id = this.#nextId++;
      this.#waiting.set(id, {
        resolve: (result) => resolve(result as ResultOf<Api[Name]>),
        reject,
      });
      const request: Request = { id, name, argument };
      this.#process.send(request, (error) => {
        if (error !== null) this.#fail(error);
      });
    });
  }

  kill(): void {
    this.#process.kill('SIGKILL');
  }

  #settle(response: Response): void {
    const waiting = this.#waiting.get(response.id);
    if (waiting === undefined) return;
    this.#waiting.delete(response.id);
    if (response.error === undefined) waiting.resolve(response.result);
    else waiting.reject(new Error(response.error));
  }

  #fail(error: Error): void {
    for (const waiting of this.#waiting.values()) waiting.reject(error);
    this.#waiting.clear();
  }
}

/** The child's end: answers calls with `api` until the parent exits. */
export function serve<Api extends object>(api: Api): void {
  const methods = api as Record<string, Method>;
  process.on('message', async (message) => {
    const { id, name, argument } = message as Request;
    let response: Response;
    try {
      const method = methods[name];
      if (method === undefined) throw new Error(`no method ${name}`);
      response = { id, result: await method(argument as never) };
    } catch (error) {
      response = { id, error: error instanceof Error ? error.message : String(error) };
    }
    process.send?.(response);
  });
  process.on('disconnect', () => process.exit(0));
}
