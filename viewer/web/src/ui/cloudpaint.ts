/** Where the points of a view's cloud lie and what colours they have, by what is chosen and what its run offers. */

import { tokensOf, type TokenRows } from '../layout/tokenrows';
import type { View } from '../render/view';
import type { CloudBook } from '../state/cloudbook';
import type { Colouring } from '../state/cloudchoice';
import type { Store } from '../state/store';
import { byCluster, byKind, byMagnitude, byMove, TokenKinds, type Coloured } from './cloudcolours';

export class CloudPaint {
  private readonly store: Store;
  private readonly book: CloudBook;
  private readonly rows: TokenRows;
  private readonly kinds = new TokenKinds();
  private readonly moved = new WeakMap<View, Float32Array<ArrayBuffer>>();

  constructor(store: Store, book: CloudBook, rows: TokenRows) {
    this.store = store;
    this.book = book;
    this.rows = rows;
  }

  /** Why a colouring cannot be had of a run, by colouring. */
  closed(run: string): Partial<Record<Colouring, string>> {
    const closed: Partial<Record<Colouring, string>> = {};
    if (!this.book.projections(run).value?.clusters) closed.cluster = 'none computed of this run';
    if (!this.store.state.runs[run]?.info.embedding?.has_vocabulary) closed.class = 'this run knows no texts';
    return closed;
  }

  /** The chosen colouring, or the usual one where a run does not offer it: a link may be of another run. */
  colouring(run: string): Colouring {
    const { colouring } = this.store.state.cloud;
    const mayLack = colouring === 'cluster' || colouring === 'class';
    return mayLack && this.closed(run)[colouring] !== undefined ? 'magnitude' : colouring;
  }

  /** The chosen picture, or PCA where a run does not offer it. */
  projection(run: string): string {
    const { projection } = this.store.state.cloud;
    if (projection === 'pca') return projection;
    return this.book.projections(run).value?.projections.some(({ name }) => name === projection) ? projection : 'pca';
  }

  /** Coordinates that were computed once take the place of each snapshot's own. */
  place(view: View): void {
    const name = this.projection(view.run);
    const computed = name === 'pca' ? null : this.book.projected(view.run, name).value;
    if (!computed) {
      if (view.fixedPlaces === null) return;
      view.fixedPlaces = null;
    } else {
      if (view.fixedPlaces !== null) return;
      const places = new Float32Array(tokensOf(view.plan).length * 3).fill(NaN);
      computed.tokens.forEach((token, index) => {
        const row = this.rows.of(view.plan, token);
        if (row >= 0) places.set(computed.coordinates.subarray(index * 3, index * 3 + 3), row * 3);
      });
      view.fixedPlaces = places;
    }
    view.showCloud(performance.now(), !matchMedia('(prefers-reduced-motion: reduce)').matches);
  }

  colour(view: View, vocabulary: readonly string[] | null): Coloured | null {
    const { frame } = view;
    const facts = view.cloud?.known;
    if (!frame?.embedding || !facts) return null;
    const { theme, runs } = this.store.state;
    const colouring = this.colouring(view.run);
    if (colouring === 'class') return byKind(this.kinds.of(view.plan, vocabulary), theme);
    if (colouring === 'cluster') {
      const clusters = this.book.clusters(view.run).value;
      return clusters ? byCluster(clusters, view.plan, theme) : byMagnitude(facts);
    }
    if (colouring === 'magnitude') return byMagnitude(facts);
    const { iterations } = runs[view.run]!;
    const at = iterations.indexOf(frame.iteration);
    const since = (colouring === 'moved-start' ? iterations[0] : iterations[Math.max(at - 1, 0)]) ?? frame.iteration;
    const base = this.book.coordinates(view.run, since, frame.embedding.basis).value;
    const moved = byMove(frame, base, since, this.moved.get(view) ?? new Float32Array(0));
    this.moved.set(view, moved.buffer as Float32Array<ArrayBuffer>);
    return moved;
  }
}
