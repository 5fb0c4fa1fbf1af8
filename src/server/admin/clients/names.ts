/**
 * What a client may call itself: CLIENT LIST and the log show it, so it has neither spaces nor line
 * ends.
 */

export const NAME_ERROR = 'ERR Client names cannot contain spaces, newlines or special characters.';

export const isValidName = (name: string): boolean => /^[!-~]*$/.test(name);
