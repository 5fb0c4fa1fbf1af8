/**
 * A node in the test process, so that a test can read its parts. Its workers are loaded from dist/.
 */
import { createLogger } from '../../src/base/log.ts';
import { Node } from '../../src/node.ts';
import { loadConfig } from '../../src/server/config/load.ts';
import { type ClientOptions, RespClient } from './resp-client.ts';
import { temporaryDirectory } from './server-process.ts';

export interface NodeInProcess {
  readonly node: Node;
  readonly port: number;
  /** Messages of the log, all levels from notice on. */
  readonly messages: readonly string[];
  client(options?: ClientOptions): Promise<RespClient>;
  stop(): Promise<void>;
}

/**
 * Starts a node on a free port of 127.0.0.1 that saves nothing by itself; `lines` as in a
 * configuration file.
 */
export async function startNode(...lines: readonly string[]): Promise<NodeInProcess> {
  const directory = temporaryDirectory('node');
  const options = ['port 0', 'bind 127.0.0.1', 'save ""', `dir ${directory}`, ...lines].join('\n');
  const config = loadConfig({ options, directory });
  const messages: string[] = [];
  const sink = (line: string): void => {
    messages.push((JSON.parse(line) as { msg: string }).msg);
  };
  const node = new Node(config, createLogger({ level: 'notice', format: 'json', sink }));
  await node.start({ anyPort: true });
  const { port } = node;
  return {
    node,
    port,
    messages,
    client: (clientOptions = {}) => RespClient.connect(port, clientOptions),
    stop: () => node.stop(),
  };
}
