/** Model parameters: the stage with its views, the pointer, and what is laid over them. */

import type { Vector3 } from 'three';
import type { Rect } from '../layout/boxes';
import { union } from '../layout/boxes';
import { listenToGestures } from '../render/gestures';
import { onFront, rayThrough } from '../render/pick';
import { cornersOf } from '../render/rig';
import { NoWebGLError, Stage } from '../render/stage';
import type { View } from '../render/view';
import type { Picture } from '../state/loader';
import type { Selection, Shown, State } from '../state/model';
import type { Session } from '../state/session';
import type { Store } from '../state/store';
import { CloudRoom } from './cloudroom';
import { Details } from './details';
import { button, h, icon, ICONS, setText } from './dom';
import { HoverCard } from './hovercard';
import { Legend } from './legend';
import { lookFacts } from './lookfacts';
import { LookMenu } from './lookmenu';
import { colouredText } from './looktext';
import { Panel } from './panel';
import { hitAt, HoverFacts, type Hit } from './pointer';
import { TokenLabels } from './tokenlabels';
import { Views } from './views';
import { emptyText, viewTitle } from './viewtitle';

const ORBIT_PER_PIXEL = 0.0045;

export class ModelTab {
  readonly element: HTMLElement;
  readonly stage: Stage | null;
  private readonly store: Store;
  private readonly session: Session;
  private readonly canvas = h('canvas', { class: 'stage', tabindex: 0, 'data-test': 'stage', 'aria-label': 'The model' });
  private readonly overlay: HTMLElement;
  private readonly card = new HoverCard();
  readonly cloud: CloudRoom;
  private readonly legend: Legend;
  private readonly panel: Panel;
  private readonly details: Details;
  private readonly titles = h('div', { class: 'view-titles' });
  private readonly empty = h('p', { class: 'empty-scene', 'data-test': 'empty-scene', hidden: true });
  private readonly menu: LookMenu;
  private readonly between = h('div', { class: 'between', 'data-test': 'between', hidden: true });
  private readonly listButton: HTMLButtonElement;
  private readonly facts: HoverFacts;
  private readonly views: Views | null;
  private readonly tokens = new TokenLabels();
  private pointer: { x: number; y: number } | null = null;
  private hoverPending = false;
  /** The person has moved the camera, so a new size of the window leaves it alone. */
  private touched = false;

  constructor(store: Store, session: Session) {
    this.store = store;
    this.session = session;
    this.facts = new HoverFacts(session, () => {
      this.hoverSoon();
      this.cloud.refresh();
    });
    this.cloud = new CloudRoom(store, session, {
      views: () => this.ordered,
      stage: () => this.stage,
      fly: (points, view) => this.flyToPoints(points, view),
      vocabulary: (run) => this.facts.vocabularyOf(run),
    });
    this.legend = new Legend(this.cloud.legend.element);
    this.panel = new Panel(store, {
      flyToTensor: (run, tensor) => this.choose({ run, tensor }, true),
      flyToPart: (run, tensors) => this.flyToTensors(run, tensors),
    });
    this.details = new Details(store, session);
    this.menu = new LookMenu(store);
    this.listButton = button('open-panel', 'Show the list of tensors (key P)', icon(ICONS.list), () =>
      store.dispatch({ type: 'panel', open: true }),
    );
    const reset = button('reset-view', 'Reset the view (key R)', icon(ICONS.home), () => this.resetView());
    this.listButton.classList.add('list-button');
    const tools = h('div', { class: 'stage-tools' }, this.cloud.toggle, this.menu.element, reset);
    this.overlay = h(
      'div',
      { class: 'scene', 'data-test': 'scene' },
      this.canvas,
      this.cloud.marks.element,
      this.empty,
      this.titles,
      this.between,
      this.listButton,
      tools,
      this.legend.element,
      this.tokens.element,
      this.cloud.panel.element,
      this.details.element,
      this.card.element,
    );
    this.element = h(
      'main',
      { class: 'model-tab', id: 'panel-model', role: 'tabpanel', 'aria-label': 'Model parameters' },
      this.panel.element,
      this.overlay,
    );
    this.stage = this.makeStage();
    this.views = this.stage && new Views(this.stage, store, session);
    store.subscribe((state, previous) => this.follow(state, previous));
    this.showTools(store.state);
    this.legend.element.hidden = true;
    if (this.stage) this.listen(this.stage);
  }

  /** Shows complete pictures, all of them with the next draw. */
  present(pictures: readonly Picture[]): void {
    // Pictures may come before the news of other runs has reached everyone.
    this.dropForeign();
    const { state } = this.store;
    const shown: Record<string, Shown> = {};
    for (const picture of pictures) {
      const { run, iteration, frame, failure } = picture;
      const plan = frame ? this.session.planNow(run, frame.plan) : undefined;
      const view = plan ? this.views?.ensure(run, plan.number) : this.views?.of(run);
      if (view) this.views!.show(view, picture, !prefersStillness());
      shown[run] = { iteration, plan: frame?.plan ?? view?.plan.number ?? null, failure };
      if (plan && run === state.selected[0]) this.panel.show(run, plan);
    }
    if (this.views?.arrange()) this.goHome();
    this.store.dispatch({ type: 'shown', shown });
    this.describe();
    this.cloud.presented();
    this.stage?.changed();
    this.hoverSoon();
  }

  /** While playing: how far it is to the next snapshot. Values between are drawn if they are wished for. */
  progress(share: number): void {
    const mixed = this.ordered.filter((view) => view.progress(share));
    if (mixed.length > 0) this.stage?.changed();
    const served = mixed[0]?.served;
    this.between.hidden = !served;
    if (served) setText(this.between, `interpolated ${colouredText(served, String)}`);
  }

  openLook(): void {
    this.menu.toggle();
  }

  /** What a run's view shows, for tests. */
  coloured(run: string): Record<string, unknown> | null {
    return lookFacts(this.views?.of(run));
  }

  resetView(): void {
    this.touched = false;
    this.stage?.home(prefersStillness());
  }

  private goHome(): void {
    this.touched = false;
    this.stage?.home(true);
  }

  /** Bounds of a tensor's plate on screen, CSS pixels from the page's top left. */
  tensorScreenRect(name: string, viewIndex: number): DOMRect | null {
    const view = this.ordered[viewIndex];
    const tensor = view?.plan.tensors.find((one) => one.name === name);
    if (!view || !tensor || !this.stage) return null;
    const rect = view.screenRectOf(tensor.index, this.stage.look(view), this.stage.viewSize);
    const box = this.canvas.getBoundingClientRect();
    if (!rect) return null;
    const left = box.left + viewIndex * this.stage.viewSize.width + rect.left;
    return new DOMRect(left, box.top + rect.top, rect.width, rect.height);
  }

  private get ordered(): View[] {
    return this.views?.ordered ?? [];
  }

  private makeStage(): Stage | null {
    try {
      const stage = new Stage(this.canvas, this.store.state.theme, (isLost) =>
        this.store.dispatch({ type: 'graphics', graphics: isLost ? 'lost' : this.kind(stage) }),
      );
      this.store.dispatch({ type: 'graphics', graphics: this.kind(stage) });
      // A slow renderer would draw far more pictures; who wants that may still choose it.
      const interpolate = !stage.software && !prefersStillness();
      this.store.dispatch({ type: 'look', look: { interpolate } });
      return stage;
    } catch (error) {
      if (!(error instanceof NoWebGLError)) throw error;
      this.store.dispatch({ type: 'graphics', graphics: 'none' });
      return null;
    }
  }

  private kind(stage: Stage): 'software' | 'hardware' {
    return stage.software ? 'software' : 'hardware';
  }

  private listen(stage: Stage): void {
    const moved = () => {
      this.touched = true;
      stage.moved();
    };
    stage.onCameraMoved = () => this.hoverSoon();
    stage.onDrawn = () => this.cloud.drawn();
    listenToGestures(this.canvas, {
      orbit: (dx, dy) => {
        stage.rig.orbit(-dx * ORBIT_PER_PIXEL, dy * ORBIT_PER_PIXEL);
        moved();
      },
      pan: (dx, dy) => {
        stage.rig.pan(dx, dy, stage.viewSize.height);
        moved();
      },
      zoom: (factor, x, y) => {
        const at = this.worldAt(stage, x, y);
        stage.rig.zoom(factor, at && stage.rig.toBase(at.world, at.index));
        moved();
      },
      hover: (x, y) => {
        this.pointer = { x, y };
        this.hoverSoon();
      },
      leave: () => {
        this.pointer = null;
        this.hoverSoon();
      },
      click: (x, y) => {
        const hit = hitAt(stage, this.ordered, x, y);
        if (hit?.kind === 'cell') this.choose({ run: hit.view.run, tensor: hit.tensor }, false);
        if (hit?.kind === 'point') this.cloud.clicked(hit.view, hit.view.cloud!.tokenOf(hit.hit.point));
      },
      doubleClick: (x, y) => this.flyToHit(hitAt(stage, this.ordered, x, y), x, y),
    });
    new ResizeObserver(() => {
      stage.resize(this.overlay.clientWidth, this.overlay.clientHeight);
      if (this.views?.reshape()) this.goHome();
      else if (!this.touched) stage.home(true);
    }).observe(this.overlay);
  }

  /** The point of the plates' front plane under a point of the canvas, and in which view it is. */
  private worldAt(stage: Stage, x: number, y: number): { world: Vector3; index: number } | null {
    const { width, height } = stage.viewSize;
    const index = Math.min(Math.floor(x / width), stage.viewCount - 1);
    const view = this.ordered[index];
    if (!view) return null;
    const world = onFront(rayThrough(stage.look(view), ((x - index * width) / width) * 2 - 1, 1 - (y / height) * 2));
    return world && { world, index };
  }

  private follow(state: State, previous: State): void {
    if (state.tab !== previous.tab) this.element.hidden = state.tab !== 'model';
    if (state.theme !== previous.theme) {
      this.stage?.paint(state.theme);
      this.describe();
    }
    if (state.selected !== previous.selected) this.dropForeign();
    if (state.look.scale !== previous.look.scale) this.rescale();
    if (state.selection !== previous.selection) {
      for (const view of this.ordered) {
        view.select(view.run === state.selection?.run ? state.selection.tensor : null);
      }
      this.stage?.invalidate();
      this.describe();
    }
    this.showTools(state);
  }

  private showTools(state: State): void {
    this.listButton.hidden = state.panelOpen;
    const text = emptyText(state);
    this.empty.hidden = text === '';
    setText(this.empty, text);
  }

  private rescale(): void {
    this.views?.rescale();
    this.describe();
    this.stage?.invalidate();
  }

  private dropForeign(): void {
    if (!this.views?.dropForeign()) return;
    const two = this.store.state.selected.length > 1;
    this.touched = false;
    this.card.hide();
    this.tokens.hide();
    this.titles.replaceChildren();
    this.canvas.setAttribute('aria-label', two ? 'The model, two runs side by side' : 'The model');
  }

  private choose(selection: Selection, fly: boolean): void {
    this.store.dispatch({ type: 'selection', selection });
    this.details.update(this.views?.of(selection.run)?.frame ?? null);
    if (fly) this.flyToTensors(selection.run, [selection.tensor]);
  }

  private flyToTensors(run: string, tensors: readonly number[]): void {
    const view = this.views?.of(run);
    const rects = tensors.map((tensor) => view?.rectOf(tensor)).filter((rect) => rect !== null && rect !== undefined);
    if (view && rects.length > 0) this.flyTo(view, union(rects));
  }

  private flyTo(view: View, rect: Rect, depth = 0): void {
    this.flyToPoints(cornersOf(rect, depth), view);
  }

  private flyToPoints(points: Vector3[], view: View): void {
    this.touched = true;
    this.stage?.fly(points, view, prefersStillness());
  }

  /** A tensor, the layer around it, or everything. */
  private flyToHit(hit: Hit | null, x: number, y: number): void {
    if (!hit || !this.stage) return;
    if (hit.kind === 'cell') {
      this.choose({ run: hit.view.run, tensor: hit.tensor }, true);
      return;
    }
    const at = this.worldAt(this.stage, x, y)?.world;
    const region =
      at &&
      hit.view.layout.regions.find(
        ({ rect }) => at.x >= rect.left && at.x <= rect.right && at.y >= rect.bottom && at.y <= rect.top,
      );
    if (region) this.flyTo(hit.view, region.rect, region.title === 'embedding cloud' ? region.rect.right - region.rect.left : 0);
    else this.resetView();
  }

  private hoverSoon(): void {
    if (this.hoverPending) return;
    this.hoverPending = true;
    requestAnimationFrame(() => {
      this.hoverPending = false;
      this.hover();
    });
  }

  private hover(): void {
    const { stage, pointer } = this;
    if (!stage) return;
    const hit = pointer && hitAt(stage, this.ordered, pointer.x, pointer.y);
    let changed = false;
    for (const view of this.ordered) {
      const cell = hit?.view === view && hit.kind === 'cell' ? hit.cell : null;
      changed = view.highlight(cell) || changed;
    }
    if (changed) stage.invalidate();
    if (!hit || hit.kind === 'nothing') this.card.hide();
    else this.showCard(hit, pointer!);
    if (hit?.kind === 'point') this.tokens.show(this.facts.tokenLabels(stage, hit.view, hit.hit));
    else this.tokens.hide();
  }

  private showCard(hit: Hit, at: { x: number; y: number }): void {
    const keys = this.store.state.runs[hit.view.run]?.info.statistics ?? [];
    this.card.reservedRight_px = Math.max(this.details.element.offsetWidth, this.cloud.panel.element.offsetWidth);
    if (hit.kind === 'cell') this.card.showCell(this.facts.cell(hit.view, hit.cell, keys, (run) => this.store.state.runs[run]?.info.name ?? run), at.x, at.y);
    const token = hit.kind === 'point' ? this.facts.token(hit.view, hit.hit) : null;
    if (token) this.card.showToken(token, at.x, at.y);
  }

  /** Legend, titles and details for what is on screen. */
  private describe(): void {
    const { state } = this.store;
    const views = this.ordered;
    const selected = state.selection ? this.views?.of(state.selection.run) : undefined;
    const view = selected ?? views[0];
    if (view) {
      this.legend.show({
        view,
        tensor: selected ? view.plan.tensors[state.selection!.tensor]! : null,
        theme: state.theme,
        nameOf: (run) => state.runs[run]?.info.name ?? run,
      });
      this.details.update(selected?.frame ?? null);
    }
    this.legend.element.hidden = !view;
    this.titles.hidden = state.selected.length < 2;
    if (state.selected.length < 2) return;
    this.titles.replaceChildren(
      ...state.selected.map((id, index) => viewTitle(state, id, index, this.views?.of(id))),
    );
  }
}

function prefersStillness(): boolean {
  return matchMedia('(prefers-reduced-motion: reduce)').matches;
}
