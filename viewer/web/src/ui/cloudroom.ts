/** The embedding cloud's own controls: what is chosen, how points are coloured, and what is said beside them. */

import { Vector3 } from 'three';
import type { Trust } from '../data/cloud';
import { trailColour } from '../layout/categories';
import { meets, type ScreenRect } from '../layout/labels';
import { TokenRows, tokensOf } from '../layout/tokenrows';
import { findTokens } from '../layout/tokens';
import type { Stage } from '../render/stage';
import { SCENE_THEMES } from '../render/theme';
import type { View } from '../render/view';
import { CloudBook } from '../state/cloudbook';
import { withToken, type CloudChoice } from '../state/cloudchoice';
import type { Session } from '../state/session';
import type { Store } from '../state/store';
import { CloudCaption } from './cloudcaption';
import type { Coloured } from './cloudcolours';
import { CloudLegend } from './cloudlegend';
import { CloudPaint } from './cloudpaint';
import { CloudPanel, projectionText, type CloudPanelFacts } from './cloudpanel';
import { button } from './dom';
import { token as shownText } from './format';
import { TokenMarks, type MarkedView, type ShownName } from './tokenmarks';

/** So long after the last snapshot its neighbours and its trust are asked for. */
const REST_ms = 160;
/** Share of the cube that is flown to around a token. */
const CLOSE = 0.4;

export interface CloudRoomActions {
  /** the views on screen, in order */
  views(): View[];
  stage(): Stage | null;
  fly(points: Vector3[], view: View): void;
  vocabulary(run: string): readonly string[] | null;
}

export class CloudRoom {
  readonly panel: CloudPanel;
  readonly marks: TokenMarks;
  readonly legend = new CloudLegend();
  readonly caption = new CloudCaption();
  readonly toggle: HTMLButtonElement;
  private readonly store: Store;
  private readonly actions: CloudRoomActions;
  private readonly book: CloudBook;
  private readonly rows = new TokenRows();
  private readonly paint: CloudPaint;
  private trust: Trust | null = null;
  private isOpen = false;
  private isResting = false;
  private restedAt: number | null = null;
  private restTimer: ReturnType<typeof setTimeout> | null = null;
  private drawnKey = '';
  private coloured: Coloured | null = null;

  constructor(store: Store, session: Session, actions: CloudRoomActions) {
    this.store = store;
    this.actions = actions;
    this.book = new CloudBook(session, () => this.refresh());
    this.paint = new CloudPaint(store, this.book, this.rows);
    this.marks = new TokenMarks(() => this.nameNear());
    this.panel = new CloudPanel({
      find: (query, most) => {
        const view = this.view;
        return view ? findTokens(query, tokensOf(view.plan), actions.vocabulary(view.run), most) : [];
      },
      textOf: (token) => this.textOf(token),
      choose: ({ token }) => this.choose(token, true),
      goTo: (token) => this.choose(token, true),
      focusOn: (focus) => this.wish({ focus }),
      letGo: (token) => this.letGo(token),
      colour: (colouring) => this.wish({ colouring }),
      project: (projection) => this.wish({ projection }),
      close: () => this.open(false),
    });
    this.toggle = button('open-cloud', 'Tokens: search, colours, neighbours (key /)', 'tokens', () => this.open(!this.isOpen));
    store.subscribe((state, previous) => {
      if (state.selection && state.selection !== previous.selection) this.open(false);
      if (state.selected !== previous.selected) this.forget();
      else if (state.theme !== previous.theme || state.cloud !== previous.cloud) this.refresh();
    });
  }

  /** Opens the panel with the cursor in its search. */
  find(): void {
    if (!this.view) return;
    this.open(true);
    this.panel.search.focus();
  }

  /** Opens the panel: a link has chosen tokens. */
  reveal(): void {
    if (this.view) this.open(true);
  }

  /** Complete pictures were shown: colours, ways and words follow. */
  presented(): void {
    this.isResting = false;
    if (this.restTimer !== null) clearTimeout(this.restTimer);
    this.restTimer = setTimeout(() => {
      this.restTimer = null;
      this.isResting = true;
      this.refresh();
    }, REST_ms);
    for (const view of this.clouds) {
      const { frame } = view;
      if (frame?.embedding) this.book.remember(view.run, frame.iteration, frame.embedding.basis, frame.embedding.coordinates);
    }
    this.lengthen();
    this.refresh();
  }

  /** After a draw: names stay at their points. */
  drawn(): void {
    const [view, stage] = [this.view, this.actions.stage()];
    if (!view?.cloud?.known || !stage) return;
    const blocked = stage.blockedIn(stage.indexOf(view));
    const isFree = (rect: ScreenRect) => view.isFree(rect) && !blocked.some((other) => meets(rect, other));
    this.caption.follow(view.cloud.place, stage.look(view), stage.viewSize, isFree);
    this.marks.follow(this.marked(view, stage));
  }

  /** The name of the hovered point, to which others give way; point -1 where there is none. */
  giveWay(point: number, rects: readonly ScreenRect[]): void {
    const [view, stage] = [this.view, this.actions.stage()];
    this.marks.giveWay(point, rects, view?.cloud?.known && stage ? this.marked(view, stage) : null);
  }

  /** Where the names of chosen tokens stand, CSS pixels of the scene. */
  get chosenNames(): ScreenRect[] {
    return this.marks.chosen;
  }

  /** All names at points, and the caption, CSS pixels of the scene; for tests. */
  get names(): ShownName[] {
    const [view, stage] = [this.view, this.actions.stage()];
    if (!view || !stage) return [];
    const left = stage.indexOf(view) * stage.viewSize.width;
    const captions = this.caption.rect ? [{ ...this.caption.rect, left: this.caption.rect.left + left, text: 'caption' }] : [];
    return [...this.marks.shown, ...captions];
  }

  private marked(view: View, stage: Stage): MarkedView {
    const { width, height } = stage.viewSize;
    const blocked = [...view.shownLabels, ...stage.blockedIn(stage.indexOf(view)), ...(this.caption.rect ? [this.caption.rect] : [])];
    const left = stage.indexOf(view) * width;
    return { cloud: view.cloud!, camera: stage.look(view), width, height, left, blocked };
  }

  /** A click on a point of the cloud. */
  clicked(view: View, row: number): void {
    if (view.run !== this.view?.run) this.wish({ view: this.store.state.selected.indexOf(view.run), tokens: [] });
    this.open(true);
    this.choose(tokensOf(view.plan)[row]!, false);
  }

  /** For tests. */
  facts(): Record<string, unknown> {
    const { colouring, projection, tokens, focus } = this.choice;
    return {
      open: this.isOpen,
      colour: colouring,
      projection,
      chosen: [...tokens],
      focus,
      trailPieces: this.view?.trails?.length ?? 0,
      trust: this.trust,
    };
  }

  /** Whether every chosen token was recorded: a link may name others. */
  get hasTokens(): boolean {
    return this.choice.tokens.every((token) => this.view && this.rows.of(this.view.plan, token) >= 0);
  }

  private get choice(): CloudChoice {
    return this.store.state.cloud;
  }

  private wish(cloud: Partial<CloudChoice>): void {
    this.store.dispatch({ type: 'cloud', cloud });
  }

  private get clouds(): View[] {
    return this.actions.views().filter((view) => view.cloud !== null);
  }

  /** The view whose tokens are chosen from. */
  private get view(): View | undefined {
    const { clouds } = this;
    return clouds.find((view) => view.run === this.store.state.selected[this.choice.view]) ?? clouds[0];
  }

  private open(isOpen: boolean): void {
    if (this.isOpen === isOpen) return;
    this.isOpen = isOpen;
    this.panel.element.hidden = !isOpen;
    this.toggle.setAttribute('aria-pressed', String(isOpen));
    if (isOpen && this.store.state.selection) this.store.dispatch({ type: 'selection', selection: null });
    this.refresh();
  }

  private choose(token: number, fly: boolean): void {
    this.wish(withToken(this.choice, token));
    const { view } = this;
    const point = view?.cloud?.pointOf(this.rows.of(view.plan, token));
    if (!fly || !view?.cloud || point === null || point === undefined) return;
    const at = view.cloud.worldOf(point, new Vector3());
    const reach = (view.cloud.place.size * CLOSE) / 2;
    this.actions.fly(
      [-1, 1].flatMap((x) => [-1, 1].flatMap((y) => [-1, 1].map((z) => at.clone().add(new Vector3(x, y, z).multiplyScalar(reach))))),
      view,
    );
  }

  private letGo(token: number): void {
    this.wish({ tokens: this.choice.tokens.filter((one) => one !== token) });
    this.panel.search.input.focus();
  }

  private forget(): void {
    this.trust = null;
    this.restedAt = null;
    this.drawnKey = '';
    this.marks.clear();
    for (const words of [this.legend, this.caption]) words.hide();
  }

  private textOf(token: number): string {
    const text = this.view && this.actions.vocabulary(this.view.run)?.[token];
    return text === undefined || text === null ? `#${token}` : shownText(text);
  }

  /** Everything that follows from what is chosen and known; asks for what is not known yet. */
  refresh(): void {
    const { view } = this;
    this.toggle.hidden = !view;
    if (!view?.cloud) return;
    for (const one of this.clouds) {
      this.paint.place(one);
      const coloured = this.paint.colour(one, this.actions.vocabulary(one.run));
      one.cloud!.shade(coloured?.shades ?? null, one.frame?.embedding?.magnitude ?? null);
      if (one === view) this.coloured = coloured;
    }
    this.learnTrust(view);
    this.drawWays(view);
    this.showLegend(view);
    if (this.isOpen) this.panel.show(this.panelFacts(view));
    this.panel.search.retry();
    this.actions.stage()?.invalidate();
  }

  private learnTrust(view: View): void {
    const { frame } = view;
    const basis = frame?.embedding?.basis;
    if (!this.isResting || !frame || basis === undefined) return;
    this.trust = this.book.trust(view.run, frame.iteration, basis).value ?? this.trust;
  }

  /** A growing run's trails reach its newest snapshot. */
  private lengthen(): void {
    const { view } = this;
    const embedding = view?.frame?.embedding;
    if (!view?.frame || !embedding) return;
    const { iterations } = this.store.state.runs[view.run]!;
    for (const token of this.choice.tokens) {
      const at = this.rows.of(view.plan, token) * 3;
      if (at < 0) continue;
      const [x, y, z] = [embedding.coordinates[at]!, embedding.coordinates[at + 1]!, embedding.coordinates[at + 2]!];
      this.book.extend(view.run, token, embedding.basis, view.frame.iteration, [x, y, z], iterations);
    }
  }

  private drawWays(view: View): void {
    const { theme, runs } = this.store.state;
    const { cloud, trails, frame } = view;
    const basis = frame?.embedding?.basis;
    if (!cloud || !trails || basis === undefined) return;
    const { tokens } = this.choice;
    const recorded = tokens.filter((token) => this.rows.of(view.plan, token) >= 0);
    const isOwn = view.fixedPlaces === null;
    const ways = isOwn ? this.book.trails(view.run, recorded, basis, runs[view.run]?.iterations ?? []) : [];
    const focus = this.focusIn(view);
    const near = focus === null || !frame ? null : this.neighbours(view, focus);
    const key = [
      view.plan.number,
      theme,
      tokens.map((token) => this.textOf(token)).join('\0'),
      this.paint.projection(view.run),
      ...ways.map(({ token, basis: b, iterations }) => `${token}@${b}:${iterations.length}`),
    ].join(' ');
    if (key !== this.drawnKey || trails.length === 0) {
      this.drawnKey = key;
      trails.setWays(ways.map((way) => ({ ...way, colour: trailColour(tokens.indexOf(way.token), theme) })));
      this.marks.pin(
        tokens.map((token, order) => ({
          row: this.rows.of(view.plan, token),
          text: this.textOf(token),
          colour: trailColour(order, theme),
        })),
        cloud,
      );
    }
    const placeOf = (token: number) => {
      const point = cloud.pointOf(this.rows.of(view.plan, token));
      return point === null ? null : cloud.placeOf(point);
    };
    const from = focus === null ? null : placeOf(focus);
    const to = (near?.value?.tokens ?? []).map(placeOf).filter((one) => one !== null);
    trails.setLinks(from, to, SCENE_THEMES[theme].spine);
  }

  /** The token whose neighbours are told, if it was recorded here. */
  private focusIn(view: View): number | null {
    const { focus } = this.choice;
    return focus !== null && this.rows.of(view.plan, focus) >= 0 ? focus : null;
  }

  /** While snapshots follow one another, those of the last rest are told, with the iteration that they are of. */
  private neighbours(view: View, token: number) {
    if (this.isResting) this.restedAt = view.frame!.iteration;
    return this.book.neighbours(view.run, token, this.restedAt ?? view.frame!.iteration);
  }

  private showLegend(view: View): void {
    const { selected, runs } = this.store.state;
    const cloud = view.cloud?.known;
    const info = runs[view.run]?.info.embedding;
    const embedding = view.frame?.embedding;
    // Two clouds are told apart under their views' titles.
    if (!cloud || !embedding || !info || !this.coloured || selected.length > 1) {
      for (const words of [this.legend, this.caption]) words.hide();
      return;
    }
    const name = this.paint.projection(view.run);
    const computed = view.fixedPlaces === null ? null : this.book.projected(view.run, name).value;
    const projection = computed ? `${projectionText(name)}, computed once, of iteration ${computed.iteration}` : null;
    const facts = { cloud, embedding, info, trust: this.trust, key: this.coloured.key, projection };
    this.legend.show(facts);
    this.caption.show(facts);
  }

  private panelFacts(view: View): CloudPanelFacts {
    const { theme, runs } = this.store.state;
    const run = runs[view.run]!;
    const offered = this.book.projections(view.run).value;
    const { tokens, focus } = this.choice;
    const near = this.focusIn(view);
    return {
      recorded: tokensOf(view.plan).length,
      vocabulary: run.info.embedding?.vocabulary_size ?? 0,
      colouring: this.paint.colouring(view.run),
      closed: this.paint.closed(view.run),
      projection: this.paint.projection(view.run),
      projections: offered?.projections.map(({ name }) => name) ?? ['pca'],
      chosen: tokens.map((token, order) => ({
        token,
        text: this.textOf(token),
        colour: trailColour(order, theme),
        isFocus: token === focus,
        isShown: view.cloud!.pointOf(this.rows.of(view.plan, token)) !== null,
      })),
      neighbours: near === null || !view.frame ? null : this.neighbours(view, near),
      suggestions: this.book.suggestions(view.run, run.iterations.length),
    };
  }

  private nameNear(): void {
    const [view, stage] = [this.view, this.actions.stage()];
    if (!view?.cloud?.known || !stage) return;
    const vocabulary = this.actions.vocabulary(view.run);
    const tokens = tokensOf(view.plan);
    this.marks.choose(this.marked(view, stage), (row) => {
      const text = vocabulary?.[tokens[row]!];
      return text === undefined ? null : shownText(text);
    });
  }
}
