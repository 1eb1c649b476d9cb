/** Model parameters: the stage with its views, the pointer, and what is laid over them. */

import { listenToGestures } from '../render/gestures';
import { NoWebGLError, Stage } from '../render/stage';
import type { View } from '../render/view';
import type { Bookmark } from '../state/bookmarks';
import type { Picture } from '../state/loader';
import type { Selection, Shown, State } from '../state/model';
import type { Session } from '../state/session';
import type { Store } from '../state/store';
import { CloudRoom } from './cloudroom';
import { Details } from './details';
import { button, h, icon, ICONS, setText } from './dom';
import { Hover } from './hover';
import { Legend } from './legend';
import { lookFacts } from './lookfacts';
import { LookMenu } from './lookmenu';
import { colouredText } from './looktext';
import { Panel } from './panel';
import { Pilot, prefersStillness, PRESETS } from './pilot';
import { watchFurniture } from './furniture';
import { hitAt, HoverFacts } from './pointer';
import { Views } from './views';
import { ViewsMenu } from './viewsmenu';
import { emptyText, viewTitle } from './viewtitle';

export class ModelTab {
  readonly element: HTMLElement;
  readonly stage: Stage | null;
  readonly pilot: Pilot | null;
  private readonly store: Store;
  private readonly session: Session;
  private readonly canvas = h('canvas', { class: 'stage', tabindex: 0, 'data-test': 'stage', 'aria-label': 'The model' });
  private readonly overlay: HTMLElement;
  readonly cloud: CloudRoom;
  private readonly legend: Legend;
  private readonly panel: Panel;
  private readonly viewsMenu: ViewsMenu;
  private readonly details: Details;
  private readonly titles = h('div', { class: 'view-titles' });
  private readonly empty = h('p', { class: 'empty-scene', 'data-test': 'empty-scene', hidden: true });
  private readonly menu: LookMenu;
  private readonly between = h('div', { class: 'between', 'data-test': 'between', hidden: true });
  private readonly listButton: HTMLButtonElement;
  private readonly hover: Hover;
  private readonly views: Views | null;

  constructor(store: Store, session: Session) {
    this.store = store;
    this.session = session;
    const facts = new HoverFacts(session, () => {
      this.hover.soon();
      this.cloud.refresh();
    });
    this.cloud = new CloudRoom(store, session, {
      views: () => this.ordered,
      stage: () => this.stage,
      fly: (points, view) => this.pilot?.flyToPoints(view, points),
      vocabulary: (run) => facts.vocabularyOf(run),
    });
    this.hover = new Hover(store, facts, this.cloud, {
      views: () => this.ordered,
      stage: () => this.stage,
      reservedRight: () => Math.max(this.details.element.offsetWidth, this.cloud.panel.element.offsetWidth),
    });
    this.legend = new Legend(this.cloud.legend.element);
    this.panel = new Panel(store, {
      flyToTensor: (run, tensor) => this.choose({ run, tensor }, true),
      flyToPart: (run, tensors) => this.pilot?.flyToTensors(run, tensors),
    });
    this.details = new Details(store, session, { light: (selection, drawn) => this.light(selection, drawn) });
    this.menu = new LookMenu(store);
    this.listButton = button('open-panel', 'Show the list of tensors (key P)', icon(ICONS.list), () =>
      store.dispatch({ type: 'panel', open: true }),
    );
    const reset = button('reset-view', 'Reset the view (key R)', icon(ICONS.home), () => this.pilot?.home());
    this.listButton.classList.add('list-button');
    this.viewsMenu = new ViewsMenu(store, {
      goToPreset: (preset) => this.pilot?.goToPreset(preset),
      hasPreset: (preset) => this.pilot?.hasPreset(preset) ?? false,
      current: () => ({ ...this.place, name: this.pilot?.title ?? '' }),
      goTo: (kept) => this.goTo(kept, prefersStillness()),
    });
    const tools = h('div', { class: 'stage-tools' }, this.cloud.toggle, this.menu.element, this.viewsMenu.element, reset);
    this.overlay = h(
      'div',
      { class: 'scene', 'data-test': 'scene' },
      this.canvas,
      this.cloud.marks.element,
      this.cloud.caption.element,
      this.empty,
      this.titles,
      this.between,
      this.listButton,
      h('div', { class: 'stage-foot' }, this.legend.element, tools),
      this.hover.tokens.element,
      this.cloud.panel.element,
      this.details.element,
      this.hover.card.element,
    );
    this.element = h(
      'main',
      { class: 'model-tab', id: 'panel-model', role: 'tabpanel', 'aria-label': 'Model parameters' },
      this.panel.element,
      this.overlay,
    );
    this.stage = this.makeStage();
    this.views = this.stage && new Views(this.stage, store, session);
    this.pilot = this.stage && new Pilot(this.stage, this.views!);
    store.subscribe((state, previous) => this.follow(state, previous));
    this.showTools(store.state);
    this.legend.element.hidden = true;
    if (!this.stage) return;
    this.listen(this.stage, this.pilot!);
    const over = [this.legend.element, tools, this.listButton, this.cloud.panel.element, this.details.element];
    watchFurniture(this.overlay, over, (rects) => this.stage!.setBlocked(rects));
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
    if (this.views?.arrange()) this.pilot!.home(true);
    this.store.dispatch({ type: 'shown', shown });
    this.describe();
    this.cloud.presented();
    this.stage?.changed();
    this.hover.soon();
  }

  /**
   * With each frame while playing: how far it is to the next snapshot. Values between are drawn if they are
   * wished for.
   */
  progress(share: number): void {
    const mixed = this.ordered.filter((view) => view.progress(share));
    if (mixed.length > 0) this.stage?.changed();
    this.stage?.drawDue();
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

  /** What is looked at, so that a link or a bookmark can tell it. */
  get place(): Pick<Bookmark, 'camera' | 'tensor'> {
    const { selection, selected, shown } = this.store.state;
    const plan = selection && this.session.planNow(selection.run, shown[selection.run]?.plan ?? null);
    const name = plan?.tensors[selection!.tensor]?.name;
    const tensor = name === undefined ? null : { view: selected.indexOf(selection!.run), name };
    return { camera: this.pilot?.place ?? null, tensor };
  }

  /** Looks at what a link or a bookmark tells; false where the model does not have some of it. */
  goTo({ camera, tensor }: Pick<Bookmark, 'camera' | 'tensor'>, jump: boolean): boolean {
    const run = this.store.state.selected[tensor?.view ?? 0];
    const found = tensor && run !== undefined ? this.views?.of(run)?.plan.tensors.find(({ name }) => name === tensor.name) : null;
    this.select(found ? { run: run!, tensor: found.index } : null);
    if (!camera) this.pilot?.home(jump);
    const isThere = !camera || !this.pilot || this.pilot.goToPlace(camera, jump);
    return isThere && (found !== undefined || !tensor);
  }

  /** Flies to the next part of the model, or to the one before. */
  stepPart(by: 1 | -1): void {
    this.pilot?.stepPart(by);
  }

  /** Chooses the next tensor that is drawn, or the one before, and flies there. */
  stepTensor(by: 1 | -1): void {
    const { selection, selected } = this.store.state;
    const run = selection?.run ?? selected[0];
    const view = run === undefined ? undefined : this.views?.of(run);
    if (!view) return;
    const drawn = view.layout.boxes.map(({ tensor }) => tensor).sort((a, b) => a - b);
    const at = selection ? drawn.indexOf(selection.tensor) : by > 0 ? -1 : drawn.length;
    const tensor = drawn[Math.min(Math.max(at + by, 0), drawn.length - 1)];
    if (tensor !== undefined) this.choose({ run: view.run, tensor }, true);
  }

  goToPreset(number: number): void {
    const preset = PRESETS[number - 1];
    if (preset) this.pilot?.goToPreset(preset);
  }

  findToken(): void {
    this.cloud.find();
  }

  openViews(): void {
    this.viewsMenu.toggle();
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

  /** All names over the scene, CSS pixels from the page's top left; for tests. */
  get names(): { text: string; left: number; top: number; width: number; height: number }[] {
    const box = this.canvas.getBoundingClientRect();
    const inScene = this.ordered.flatMap((view, index) =>
      view.shownLabels.map((name) => ({ ...name, left: name.left + index * this.stage!.viewSize.width })),
    );
    return [...inScene, ...this.cloud.names, ...this.hover.tokens.shown].map(({ text, left, top, width, height }) => ({
      ...{ text, left: left + box.left, top: top + box.top, width, height },
    }));
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
      this.store.dispatch({ type: 'look', look: { interpolate, usuallyInterpolates: interpolate } });
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

  private listen(stage: Stage, pilot: Pilot): void {
    stage.onCameraMoved = () => this.hover.soon();
    stage.onDrawn = () => this.cloud.drawn();
    listenToGestures(this.canvas, {
      press: () => pilot.press(),
      orbit: (dx, dy) => pilot.orbit(dx, dy),
      pan: (dx, dy) => pilot.pan(dx, dy),
      zoom: (factor, x, y) => pilot.zoom(factor, x, y),
      hover: (x, y) => this.hover.at({ x, y }),
      leave: () => this.hover.at(null),
      click: (x, y) => {
        const hit = hitAt(stage, this.ordered, x, y);
        if (hit?.kind === 'cell') this.choose({ run: hit.view.run, tensor: hit.tensor }, false);
        if (hit?.kind === 'point') this.cloud.clicked(hit.view, hit.view.cloud!.tokenOf(hit.hit.point));
      },
      doubleClick: (x, y) => {
        const hit = hitAt(stage, this.ordered, x, y);
        if (hit?.kind === 'cell') this.choose({ run: hit.view.run, tensor: hit.tensor }, true);
        else if (hit) pilot.flyToPoint(hit.view, x, y);
      },
    });
    new ResizeObserver(() => {
      stage.resize(this.overlay.clientWidth, this.overlay.clientHeight);
      if (this.views?.reshape()) pilot.home(true);
      else pilot.resized();
    }).observe(this.overlay);
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
    this.hover.hide();
    this.titles.replaceChildren();
    this.canvas.setAttribute('aria-label', two ? 'The model, two runs side by side' : 'The model');
  }

  /** The chosen tensor, and there by a glide if wished. */
  private choose(selection: Selection, fly: boolean): void {
    this.select(selection);
    if (fly) this.pilot?.flyToTensors(selection.run, [selection.tensor]);
  }

  private select(selection: Selection | null): void {
    this.store.dispatch({ type: 'selection', selection });
    if (selection) this.details.update(this.views?.of(selection.run)?.frame ?? null);
  }

  /** Marks a drawn row of a tensor, wherever sorting has put it. */
  private light({ run, tensor }: Selection, drawn: number | null): void {
    const view = this.views?.of(run);
    const cell = drawn === null ? null : (view?.rowOf(tensor, drawn) ?? null);
    this.hover.light(cell && { run, cell });
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
