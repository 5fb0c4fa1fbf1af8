/** The command line of redis-server, case by case. */
import { expect, test } from 'vitest';
import { parseArguments } from '../src/cli-arguments.ts';

const serve = (options: string, file: string | null = null, stdin = false) => ({
  mode: 'serve',
  file,
  stdin,
  options,
});

test.each([
  [[], serve('')],
  [['-v'], { mode: 'version' }],
  [['--version', '--port', '1'], { mode: 'version' }],
  [['-h'], { mode: 'help' }],
  [['--help'], { mode: 'help' }],
  [['--help-all'], { mode: 'help-all' }],
  [['a.conf'], serve('', 'a.conf')],
  [['-'], serve('', null, true)],
  [['a.conf', '-'], serve('', 'a.conf', true)],
  [['--port', '1', '-'], serve('port "1" ', null, true)],
  [['a.conf', '--port', '1', '--hz', '2'], serve('port "1" \nhz "2" ', 'a.conf')],
  [['--save', '60', '1', '--save', '300', '10'], serve('save "60" "1" \nsave "300" "10" ')],
  [['--save', ''], serve('save "" ')],
  [['--save'], serve('save ""')],
  [['--save', '--port', '1'], serve('save ""\nport "1" ')],
  [['--port 1'], serve('port 1 ')],
  [['--port 1', '--hz', '2'], serve('port 1 \nhz "2" ')],
  [['--requirepass', '--secret', '--port', '1'], serve('requirepass "--secret" \nport "1" ')],
  [['a.conf', 'hz', '11'], serve('"hz" "11" ', 'a.conf')],
  [['--port=1'], serve('port=1 ')],
  [['-x'], serve('"-x" ')],
  [['--masterauth', 'é"'], serve('masterauth "\\xc3\\xa9\\"" ')],
])('%j', (argv, expected) => {
  expect(parseArguments(argv)).toEqual(expected);
});
