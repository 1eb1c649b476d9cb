/** Words over the views: which run, which snapshot, or why there is none. */

import { runColours } from '../layout/colour';
import type { View } from '../render/view';
import type { State } from '../state/model';
import { h } from './dom';
import { count, number, percent } from './format';

/** What is said where there is nothing to draw. */
export function emptyText(state: State): string {
  if (state.selected.length === 0 || state.timeline.length > 0) return '';
  const live = state.selected.some((id) => state.runs[id]?.status === 'recording');
  return live ? 'Waiting for the first snapshot.' : 'This run ended before its first snapshot.';
}

/** Which run a view shows, and which of its snapshots. */
export function viewTitle(state: State, id: string, index: number, view: View | undefined): HTMLElement {
  const shown = state.shown[id];
  const key = h('span', { class: 'run-key', 'aria-hidden': 'true' });
  key.style.background = runColours(index, state.theme).line;
  const text = shown ? `iteration ${count(shown.iteration)}` : 'no snapshot yet';
  return h(
    'div',
    { class: 'view-title', 'data-test': `view-title-${index}` },
    h('span', { class: 'view-pill' }, key, state.runs[id]?.info.name ?? id, h('span', { class: 'dim' }, text)),
    h('div', { class: 'view-caption' }, cloudCaption(view)),
  );
}

function cloudCaption(view: View | undefined): string {
  const shares = view?.frame?.embedding?.explained.slice(0, 3);
  const facts = view?.cloud?.known;
  if (!shares || !facts) return '';
  return `${count(facts.tokens)} tokens in a cube of ±${number(facts.extent)}, ${shares.map(percent).join(' + ')} explained`;
}
