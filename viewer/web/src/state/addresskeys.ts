/** What parts of the state stand in the address besides those that every address has: each part adds its keys here. */

import { COLOURINGS, FIRST_CHOICE, MOST_TOKENS } from './cloudchoice';
import { COLOUR_BY, FIRST_LOOK, SCALE_MODES, SORTS, SOURCES, type Look } from './look';
import type { State } from './model';
import type { Action } from './reducer';

/** A token's number; more than any vocabulary has. */
const TOKEN = /^\d{1,9}$/;
/** Of which view, and the tokens in their order. */
const TOKENS = /^([12]):(\d{1,9}(?:,\d{1,9})*)$/;
/** The name of a picture of the embedding, as a server may offer it. */
const PROJECTION = /^[a-z][a-z0-9_-]{0,30}$/;

export interface AddressKey {
  /** lower case letters and hyphens; short, since people read it */
  name: string;
  /** null where it is as on a fresh page */
  write(state: State): string | null;
  /** What restores it; null for a text that makes no sense */
  read(text: string): Action | null;
}

/** One of the named ways in which the matrices are looked at. */
function choice<N extends 'colourBy' | 'source' | 'sort' | 'scale'>(
  name: string,
  field: N,
  values: readonly Look[N][],
): AddressKey {
  return {
    name,
    write: ({ look }) => (look[field] === FIRST_LOOK[field] ? null : look[field]),
    read: (text) => {
      const value = values.find((one) => one === text);
      return value === undefined ? null : { type: 'look', look: { [field]: value } };
    },
  };
}

export const ADDRESS_KEYS: readonly AddressKey[] = [
  {
    name: 'tab',
    write: ({ tab }) => (tab === 'model' ? null : tab),
    read: (text) => (text === 'loss' || text === 'model' ? { type: 'tab', tab: text } : null),
  },
  choice('colour-by', 'colourBy', COLOUR_BY),
  choice('source', 'source', SOURCES),
  choice('sort', 'sort', SORTS),
  choice('scale', 'scale', SCALE_MODES),
  {
    name: 'snapshots-back',
    write: ({ look }) => (look.snapshotsBack === FIRST_LOOK.snapshotsBack ? null : String(look.snapshotsBack)),
    read: (text) => (/^[1-9]\d{0,3}$/.test(text) ? { type: 'look', look: { snapshotsBack: Number(text) } } : null),
  },
  {
    name: 'interpolate',
    write: ({ look }) => (look.interpolate === look.usuallyInterpolates ? null : look.interpolate ? 'on' : 'off'),
    read: (text) => (text === 'on' || text === 'off' ? { type: 'look', look: { interpolate: text === 'on' } } : null),
  },
  {
    name: 'tokens',
    write: ({ cloud }) => (cloud.tokens.length === 0 ? null : `${cloud.view + 1}:${cloud.tokens.join(',')}`),
    read: (text) => {
      const [, view, list] = TOKENS.exec(text) ?? [];
      const tokens = list?.split(',').map(Number) ?? [];
      if (tokens.length === 0 || tokens.length > MOST_TOKENS || new Set(tokens).size < tokens.length) return null;
      return { type: 'cloud', cloud: { view: Number(view) - 1, tokens } };
    },
  },
  {
    // After the tokens, of which it is one.
    name: 'neighbours-of',
    write: ({ cloud }) => (cloud.focus === (cloud.tokens.at(-1) ?? null) ? null : String(cloud.focus)),
    read: (text) => (TOKEN.test(text) ? { type: 'cloud', cloud: { focus: Number(text) } } : null),
  },
  {
    name: 'token-colour',
    write: ({ cloud }) => (cloud.colouring === FIRST_CHOICE.colouring ? null : cloud.colouring),
    read: (text) => {
      const colouring = COLOURINGS.find((one) => one === text);
      return colouring === undefined ? null : { type: 'cloud', cloud: { colouring } };
    },
  },
  {
    name: 'projection',
    write: ({ cloud }) => (cloud.projection === FIRST_CHOICE.projection ? null : cloud.projection),
    read: (text) => (PROJECTION.test(text) ? { type: 'cloud', cloud: { projection: text } } : null),
  },
];

export function writeKeys(state: State, keys: readonly AddressKey[] = ADDRESS_KEYS): Record<string, string> {
  const pairs = keys.map(({ name, write }) => [name, write(state)] as const);
  return Object.fromEntries(pairs.filter((pair): pair is [string, string] => pair[1] !== null));
}

/** What the keys of an address ask for, and those that make no sense. */
export function readKeys(
  rest: Readonly<Record<string, string>>,
  keys: readonly AddressKey[] = ADDRESS_KEYS,
): { actions: Action[]; ignored: string[] } {
  const actions: Action[] = [];
  const ignored: string[] = [];
  for (const { name, read } of keys) {
    const text = rest[name];
    if (text === undefined) continue;
    const action = read(text);
    if (action) actions.push(action);
    else ignored.push(name);
  }
  return { actions, ignored };
}
