/** What is chosen in the embedding cloud: which tokens are followed, what colours the points, which picture it is. */

export const COLOURINGS = ['magnitude', 'moved-start', 'moved-last', 'class', 'cluster'] as const;
export type Colouring = (typeof COLOURINGS)[number];

/** So many trails are answered at a time, and so many tokens a link may name. */
export const MOST_TOKENS = 16;
/** By hand so many are chosen before the oldest is let go: their colours are told apart with ease. */
const MOST_BY_HAND = 6;

export interface CloudChoice {
  /** which of the runs on screen the tokens are of */
  view: number;
  /** token numbers, each once, in the order in which they were chosen: it gives them their colours */
  tokens: readonly number[];
  /** the one of them whose neighbours are told; null where none is chosen */
  focus: number | null;
  colouring: Colouring;
  /** `pca`: of each snapshot in its run's basis; others were computed once */
  projection: string;
}

export const FIRST_CHOICE: CloudChoice = { view: 0, tokens: [], focus: null, colouring: 'magnitude', projection: 'pca' };

/** The choice after a wish of somebody. The focus is always one of the tokens. */
export function changedChoice(choice: CloudChoice, wish: Partial<CloudChoice>): CloudChoice {
  const next = { ...choice, ...wish };
  const tokens = [...new Set(next.tokens)].slice(-MOST_TOKENS);
  const focus = next.focus !== null && tokens.includes(next.focus) ? next.focus : (tokens.at(-1) ?? null);
  return { ...next, tokens, focus };
}

/** One more token. A link may have brought more than are chosen by hand; then their number stays. */
export function withToken({ tokens }: CloudChoice, token: number): Partial<CloudChoice> {
  if (tokens.includes(token)) return { focus: token };
  return { tokens: [...tokens, token].slice(-Math.max(tokens.length, MOST_BY_HAND)), focus: token };
}

/** Other runs are looked at: what was chosen goes with its run. What a link tells waits for the first runs. */
export function choiceAmong(choice: CloudChoice, before: readonly string[], after: readonly string[]): CloudChoice {
  if (before.length === 0) return choice;
  const view = after.indexOf(before[choice.view] ?? before[0]!);
  return view >= 0 ? { ...choice, view } : { ...FIRST_CHOICE, colouring: choice.colouring };
}
