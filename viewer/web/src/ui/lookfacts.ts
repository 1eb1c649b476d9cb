/** What a run's view shows, for tests. */

import type { View } from '../render/view';

export function lookFacts(view: View | undefined): Record<string, unknown> | null {
  if (!view?.served || !view.look) return null;
  const { picture, look } = view.served;
  const part = picture.gradient ?? picture.update;
  return {
    by: look.colourBy,
    source: look.source,
    scale: look.scale,
    part: part?.iteration ?? null,
    second: picture.second?.iteration ?? null,
    cells: picture.cells?.content ? picture.cells.iteration : null,
    norms: picture.norms?.content ? picture.norms.iteration : null,
    sorted: [view.look.sortRows, view.look.sortColumns],
    missing: view.layout.boxes.filter(({ ghost }, index) => !ghost && view.look!.plates[index]!.missing).length,
    weights: [...view.look.coloured.weights],
  };
}
