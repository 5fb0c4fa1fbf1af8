/**
 * The rule for a client's name: CLIENT LIST and the log show it, so it has neither spaces nor line
 * ends.
 */

export const NAME_ERROR = 'ERR Client names cannot contain spaces, newlines or special characters.';

export const isValidName = (name: string): boolean => /^[!-~]*$/.test(name);
