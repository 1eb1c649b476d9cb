/** Texts of tokens: how vocabularies spell them, of which class they are, and how one is found. Pure. */

export const TOKEN_CLASSES = [
  'letters',
  'capital',
  'digits',
  'whitespace',
  'punctuation',
  'non-ASCII',
  'special',
] as const;
export type TokenClass = (typeof TOKEN_CLASSES)[number];

const SPECIAL = /^<[^<>\s]+>$|^\[[A-Z]+\d*\]$/;
const CONTINUED = '##';
const WORD_START = '\u2581';

/**
 * GPT-2 spells each byte as one printable character: those that are printable as themselves, the others from
 * U+0100 on, in the order of the bytes.
 */
const BYTE_OF: ReadonlyMap<string, number> = new Map(
  (() => {
    const printable = (byte: number) => (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
    let others = 0;
    return Array.from({ length: 256 }, (_, byte): [string, number] => [
      String.fromCodePoint(printable(byte) ? byte : 256 + others++),
      byte,
    ]);
  })(),
);
/** Space and line end in that spelling. */
const SPELLED_SPACE = '\u0120';
const SPELLED_LINE_END = '\u010a';

/** The vocabulary as the texts that its tokens stand for, in whichever of the usual spellings it comes. */
export function plainVocabulary(vocabulary: readonly string[]): string[] {
  const spelled = new Set(vocabulary.filter((token) => token === SPELLED_SPACE || token === SPELLED_LINE_END));
  const isByteLevel = vocabulary.length >= 256 && spelled.size === 2;
  return vocabulary.map(isByteLevel ? fromBytes : plainText);
}

function plainText(token: string): string {
  if (token.startsWith(WORD_START)) return token.replaceAll(WORD_START, ' ');
  return token;
}

/** A token that is part of a character keeps the spelling of its bytes. */
function fromBytes(token: string): string {
  const bytes: number[] = [];
  for (const character of token) {
    const byte = BYTE_OF.get(character);
    if (byte === undefined) return token;
    bytes.push(byte);
  }
  const text = new TextDecoder().decode(new Uint8Array(bytes));
  return text.includes('\ufffd') ? token : text;
}

/** What kind of text a token is; words of mixed kinds are told by their first letter or digit. */
export function tokenClass(text: string): TokenClass {
  if (text === '' || SPECIAL.test(text)) return 'special';
  const core = (text.startsWith(CONTINUED) && text.length > 2 ? text.slice(2) : text).trim();
  if (core === '') return 'whitespace';
  if (/[^\x00-\x7f]/.test(core)) return 'non-ASCII';
  const first = /[A-Za-z0-9]/.exec(core)?.[0];
  // What is neither printable nor white has no other class.
  if (first === undefined) return /^[!-/:-@[-`{-~]/.test(core) ? 'punctuation' : 'special';
  if (/[0-9]/.test(first)) return 'digits';
  return /[A-Z]/.test(first) ? 'capital' : 'letters';
}

/** The class of each recorded token as a number; all `special` where no text is known. */
export function classNumbers(tokens: readonly number[], vocabulary: readonly string[] | null): Float32Array {
  return Float32Array.from(tokens, (token) => TOKEN_CLASSES.indexOf(tokenClass(vocabulary?.[token] ?? '')));
}

export interface Match {
  /** row among the recorded tokens */
  row: number;
  token: number;
}

const RANKS = 5;

/**
 * Recorded tokens whose text has `query` in it: the whole text first, then those that begin with it (a leading
 * space aside), then the others; short before long. `#12` is the token of that number, `␣` a space.
 */
export function findTokens(
  query: string,
  tokens: readonly number[],
  vocabulary: readonly string[] | null,
  most: number,
): Match[] {
  const number = /^#?(\d+)$/.exec(query.trim());
  const wish = query.replaceAll('␣', ' ').replaceAll('⏎', '\n').replaceAll('⇥', '\t');
  if (wish === '') return [];
  const folded = wish.toLowerCase();
  const ranked: (Match & { length: number })[][] = Array.from({ length: RANKS }, () => []);
  tokens.forEach((token, row) => {
    const text = vocabulary?.[token];
    const rank = text === undefined ? -1 : rankOf(text, wish, folded);
    if (rank >= 0) ranked[rank]!.push({ row, token, length: text!.length });
    // A number finds its token, too, after what has it as its text.
    else if (number && Number(number[1]) === token) ranked[1]!.push({ row, token, length: 0 });
  });
  return ranked
    .flatMap((matches) => matches.sort((a, b) => a.length - b.length || a.token - b.token))
    .slice(0, most)
    .map(({ row, token }) => ({ row, token }));
}

function rankOf(text: string, wish: string, folded: string): number {
  if (text === wish) return 0;
  const bare = text.replace(/^ /, '');
  if (bare === wish) return 1;
  const lower = text.toLowerCase();
  if (lower === folded || lower.trim() === folded) return 2;
  if (bare.toLowerCase().startsWith(folded)) return 3;
  return lower.includes(folded) ? 4 : -1;
}
