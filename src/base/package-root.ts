/**
 * The place of the package. This file lies two folders below it, in src/, in dist/ and, as a part
 * of the bundled program, in dist/bundle/.
 */

/** The URL of a file of the package. */
export function packageUrl(path: string): URL {
  return new URL(`../../${path}`, import.meta.url);
}
