/** What is under the pointer: lit in the scene, named beside it, told on the card. */

import type { CellAddress } from '../layout/cells';
import type { ScreenRect } from '../layout/labels';
import type { Stage } from '../render/stage';
import type { View } from '../render/view';
import type { Store } from '../state/store';
import type { CloudRoom } from './cloudroom';
import { HoverCard } from './hovercard';
import { hitAt, type Hit, type HoverFacts } from './pointer';
import { TokenLabels } from './tokenlabels';

export interface HoverActions {
  stage(): Stage | null;
  /** the views on screen, in order */
  views(): View[];
  /** Taken by something else at the right of the scene, CSS pixels. */
  reservedRight(): number;
}

export class Hover {
  readonly card = new HoverCard();
  readonly tokens = new TokenLabels();
  private readonly store: Store;
  private readonly facts: HoverFacts;
  private readonly cloud: CloudRoom;
  private readonly actions: HoverActions;
  private pointer: { x: number; y: number } | null = null;
  private isPending = false;
  /** A row that was chosen in the list of rows. */
  private lit: { run: string; cell: CellAddress } | null = null;

  constructor(store: Store, facts: HoverFacts, cloud: CloudRoom, actions: HoverActions) {
    this.store = store;
    this.facts = facts;
    this.cloud = cloud;
    this.actions = actions;
  }

  /** The pointer is at a point of the canvas, or has left it. */
  at(pointer: { x: number; y: number } | null): void {
    this.pointer = pointer;
    this.soon();
  }

  /** Lights a row also while no pointer is on it. */
  light(lit: { run: string; cell: CellAddress } | null): void {
    this.lit = lit;
    this.soon();
  }

  /** Looks again with the next animation frame. */
  soon(): void {
    if (this.isPending) return;
    this.isPending = true;
    requestAnimationFrame(() => {
      this.isPending = false;
      this.look();
    });
  }

  hide(): void {
    this.card.hide();
    this.hideTokens();
  }

  private look(): void {
    const [stage, views] = [this.actions.stage(), this.actions.views()];
    if (!stage) return;
    const { pointer } = this;
    const hit = pointer && hitAt(stage, views, pointer.x, pointer.y);
    let changed = false;
    for (const view of views) {
      const lit = this.lit?.run === view.run ? this.lit.cell : null;
      const cell = hit?.view === view && hit.kind === 'cell' ? hit.cell : lit;
      changed = view.highlight(cell) || changed;
    }
    if (changed) stage.invalidate();
    if (hit?.kind === 'point') {
      this.tokens.show(this.facts.tokenLabels(stage, hit.view, hit.hit), this.cloud.chosenNames);
      this.cloud.giveWay(hit.hit.point, this.tokens.shown);
    } else {
      this.hideTokens();
    }
    if (!hit || hit.kind === 'nothing') {
      this.card.hide();
    } else if (changed) {
      // Its names are placed with the next draw, and the card stands clear of them.
      stage.whenDrawn(() => this.showCard(stage, hit, pointer!));
    } else {
      this.showCard(stage, hit, pointer!);
    }
  }

  private hideTokens(): void {
    this.tokens.hide();
    this.cloud.giveWay(-1, []);
  }

  private showCard(stage: Stage, hit: Hit, at: { x: number; y: number }): void {
    if (this.pointer !== at) return;
    const { runs } = this.store.state;
    const keys = runs[hit.view.run]?.info.statistics ?? [];
    this.card.reservedRight_px = this.actions.reservedRight();
    if (hit.kind === 'cell') {
      const facts = this.facts.cell(hit.view, hit.cell, keys, (run) => runs[run]?.info.name ?? run);
      this.card.showCell(facts, at, this.keeps(stage, hit.view, hit.cell.plate, at));
    }
    const token = hit.kind === 'point' ? this.facts.token(hit.view, hit.hit) : null;
    if (token) this.card.showToken(token, at, [[...this.tokens.shown]]);
  }

  /** What the card should leave uncovered: all of the tensor and its brackets, or the piece under the pointer. */
  private keeps(stage: Stage, view: View, plate: number, at: { x: number; y: number }): ScreenRect[][] {
    const left = stage.indexOf(view) * stage.viewSize.width;
    const onScreen = (rect: ScreenRect): ScreenRect => ({ ...rect, left: rect.left + left });
    const pieces = view.piecesOf(plate, stage.look(view), stage.viewSize).map(onScreen);
    const names = view.shownLabels.filter(({ isPassing }) => isPassing).map(onScreen);
    const here = pieces.filter(
      (rect) => at.x >= rect.left && at.x <= rect.left + rect.width && at.y >= rect.top && at.y <= rect.top + rect.height,
    );
    return [[...pieces, ...names], [...here, ...names]];
  }
}
