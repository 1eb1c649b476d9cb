/** How the matrices are looked at: what gives them their colour, in what scale, in which order. */

export const COLOUR_BY = ['value', 'gradient', 'update', 'since_start', 'since_k', 'other_run'] as const;
export const SOURCES = ['auto', 'samples', 'cells_mean', 'cells_absmax'] as const;
export const SORTS = ['none', 'rows', 'columns', 'both'] as const;
export const SCALE_MODES = ['tensor', 'shared', 'quantile', 'absolute'] as const;

export type ColourBy = (typeof COLOUR_BY)[number];
/** Samples, or cells of the whole tensor; `auto` adds the extremes of the cells to samples that are far away. */
export type Source = (typeof SOURCES)[number];
export type Sort = (typeof SORTS)[number];
/** What one end of a scale stands for: 3 rms of each tensor, their median, the 0.99 quantile, the largest magnitude. */
export type ScaleMode = (typeof SCALE_MODES)[number];

export interface Look {
  colourBy: ColourBy;
  /** for `since_k`: how many snapshots lie between */
  snapshotsBack: number;
  source: Source;
  sort: Sort;
  scale: ScaleMode;
  /** While playing, values between two snapshots are mixed. */
  interpolate: boolean;
  /** What a fresh page of this machine does: a slow renderer, or a reader who wants no motion, has it off. */
  usuallyInterpolates: boolean;
}

export const FIRST_LOOK: Look = {
  colourBy: 'value',
  snapshotsBack: 10,
  source: 'auto',
  sort: 'none',
  scale: 'tensor',
  interpolate: false,
  usuallyInterpolates: false,
};

export const MOST_SNAPSHOTS_BACK = 9_999;

/** The look after a wish of somebody. Cells are kept of values only, so a wish for them gives way to another quantity. */
export function changedLook(look: Look, wish: Partial<Look>): Look {
  const next = { ...look, ...wish };
  const back = Math.round(next.snapshotsBack);
  next.snapshotsBack = Number.isFinite(back) ? Math.min(Math.max(back, 1), MOST_SNAPSHOTS_BACK) : look.snapshotsBack;
  if (next.source.startsWith('cells') && next.colourBy !== 'value') {
    if (wish.source !== undefined) next.colourBy = 'value';
    else next.source = 'auto';
  }
  return next;
}
