/** One command to a server, over a connection of its own. */
import type { RespValue } from './resp-parser.ts';
import type { TestServer } from './server-process.ts';

/** The reply, an error reply as a value too. */
export async function call(server: TestServer, ...words: (string | number)[]): Promise<RespValue> {
  const client = await server.client();
  try {
    return await client.command(...words);
  } finally {
    await client.close();
  }
}
