/** The title of the process in `ps`: `set-proc-title`, `proc-title-template`. */
import type { Values } from '../../config/directives.ts';

/** The title from the template. `ps` shows no more of it than the command line's length. */
export function processTitle(values: Values, configFile: string): string {
  const { bind, port, unixsocket, procTitleTemplate } = values;
  const address = port === 0 ? unixsocket : `${bind[0] ?? '*'}:${port}`;
  const variables: Readonly<Record<string, string>> = {
    title: 'headwater',
    'listen-addr': address,
    'server-mode': '',
    port: String(port),
    'tls-port': '0',
    unixsocket,
    'config-file': configFile,
  };
  return procTitleTemplate
    .replace(/\{([^}]*)\}/g, (_, name: string) => variables[name] ?? '')
    .trimEnd();
}
