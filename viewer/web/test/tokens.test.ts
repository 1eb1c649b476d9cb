import { describe, expect, test } from 'vitest';
import { classNumbers, findTokens, plainVocabulary, tokenClass, TOKEN_CLASSES } from '../src/layout/tokens';

describe('the class of a token', () => {
  test.each([
    ['the', 'letters'],
    [' the', 'letters'],
    ["don't", 'letters'],
    ['##ing', 'letters'],
    ['The', 'capital'],
    [' GPT', 'capital'],
    ['42', 'digits'],
    [' 3.5', 'digits'],
    ['2nd', 'digits'],
    [' ', 'whitespace'],
    ['\n\t', 'whitespace'],
    [',', 'punctuation'],
    [' ("', 'punctuation'],
    ['<', 'punctuation'],
    ['##', 'punctuation'],
    ['é', 'non-ASCII'],
    [' naïve', 'non-ASCII'],
    ['\u0120', 'non-ASCII'],
    ['<|endoftext|>', 'special'],
    ['</s>', 'special'],
    ['[CLS]', 'special'],
    ['\x00', 'special'],
    ['', 'special'],
  ] as const)('%j is %s', (text, expected) => {
    expect(tokenClass(text)).toBe(expected);
  });

  test('is a number for each recorded token, whatever is known of them', () => {
    const numbers = classNumbers([2, 0, 9], [',', 'x', '7']);
    expect([...numbers].map((number) => TOKEN_CLASSES[number])).toEqual(['digits', 'punctuation', 'special']);
    expect(classNumbers([1, 2], null)).toHaveLength(2);
  });
});

describe('the spelling of a vocabulary', () => {
  const filler = Array.from({ length: 254 }, (_, index) => `x${index}`);

  test("GPT-2's bytes become the texts that they stand for", () => {
    const spelled = ['\u0120', '\u010a', ...filler, '\u0120the', 'caf\u00c3\u00a9', '\u010a\u010a', '<|endoftext|>'];
    expect(plainVocabulary(spelled).slice(-4)).toEqual([' the', 'café', '\n\n', '<|endoftext|>']);
    expect(plainVocabulary(spelled).slice(0, 2)).toEqual([' ', '\n']);
  });

  test('part of a character keeps the spelling of its bytes', () => {
    const spelled = ['\u0120', '\u010a', ...filler, '\u00c3'];
    expect(plainVocabulary(spelled).at(-1)).toBe('\u00c3');
  });

  test('a vocabulary of characters is left alone, whichever they are', () => {
    const characters = ['\u0120', 'a', ' ', '\n', '\u00c3', '\u00a9'];
    expect(plainVocabulary(characters)).toEqual(characters);
  });

  test("SentencePiece's mark of a word is a space", () => {
    expect(plainVocabulary(['\u2581the', 'ing', '<s>'])).toEqual([' the', 'ing', '<s>']);
  });
});

describe('the search', () => {
  const vocabulary = ['cat', ' cat', 'Cat', 'concat', 'catalogue', ' ', '7', 'x', '\n'];
  const tokens = [0, 1, 2, 3, 4, 5, 6, 7, 8];
  const found = (query: string, known: readonly string[] | null = vocabulary) =>
    findTokens(query, tokens, known, 10).map(({ token }) => token);

  test('tells the whole text first, then beginnings, then the rest', () => {
    expect(found('cat')).toEqual([0, 1, 2, 4, 3]);
    expect(found(' cat')[0]).toBe(1);
  });

  test('finds white space as it is shown', () => {
    expect(found('␣')[0]).toBe(5);
    expect(found('⏎')).toEqual([8]);
  });

  test('finds a token by its number, after the one whose text is that number', () => {
    expect(found('7')).toEqual([6, 7]);
    expect(found('#7')).toEqual([7]);
    expect(found('3', null)).toEqual([3]);
  });

  test('finds only recorded tokens, at most so many, and nothing for nothing', () => {
    expect(findTokens('cat', [4, 3], vocabulary, 10)).toEqual([
      { row: 0, token: 4 },
      { row: 1, token: 3 },
    ]);
    expect(findTokens('a', tokens, vocabulary, 2)).toHaveLength(2);
    expect(found('')).toEqual([]);
    expect(found('zebra')).toEqual([]);
  });
});
