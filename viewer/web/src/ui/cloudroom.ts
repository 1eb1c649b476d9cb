/** The embedding cloud's own controls: what is chosen, how points are coloured, and what is said beside them. */

import { Vector3 } from 'three';
import type { Trust } from '../data/cloud';
import type { Plan } from '../data/types';
import { trailColour } from '../layout/categories';
import { findTokens } from '../layout/tokens';
import type { Stage } from '../render/stage';
import { SCENE_THEMES } from '../render/theme';
import type { View } from '../render/view';
import { CloudBook } from '../state/cloudbook';
import type { Session } from '../state/session';
import type { Store } from '../state/store';
import { byCluster, byKind, byMagnitude, byMove, TokenKinds, type Coloured } from './cloudcolours';
import { CloudCaption } from './cloudcaption';
import { CloudLegend } from './cloudlegend';
import { CloudPanel, projectionText, type CloudPanelFacts, type Colouring } from './cloudpanel';
import { button } from './dom';
import { token as shownText } from './format';
import { TokenMarks } from './tokenmarks';

const MOST_CHOSEN = 6;
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
  private readonly kinds = new TokenKinds();
  private readonly rows = new WeakMap<Plan, Map<number, number>>();
  private chosen: number[] = [];
  private focus: number | null = null;
  private run = '';
  private colouring: Colouring = 'magnitude';
  private projection = 'pca';
  private moved = new Float32Array(0);
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
    this.marks = new TokenMarks(() => this.nameNear());
    this.panel = new CloudPanel({
      find: (query, most) => {
        const view = this.view;
        return view ? findTokens(query, tokensOf(view.plan), actions.vocabulary(view.run), most) : [];
      },
      textOf: (token) => this.textOf(token),
      choose: ({ token }) => this.choose(token, true),
      goTo: (token) => this.choose(token, true),
      focusOn: (token) => this.choose(token, false),
      letGo: (token) => this.letGo(token),
      colour: (colouring) => {
        this.colouring = colouring;
        this.refresh();
      },
      project: (name) => {
        this.projection = name;
        this.refresh();
      },
      close: () => this.open(false),
    });
    this.toggle = button('open-cloud', 'Tokens: search, colours, neighbours (key /)', 'tokens', () => this.open(!this.isOpen));
    store.subscribe((state, previous) => {
      if (state.selection && state.selection !== previous.selection) this.open(false);
      if (state.selected !== previous.selected) this.forget();
      if (state.theme !== previous.theme) this.refresh();
    });
  }

  /** Opens the panel with the cursor in its search. */
  find(): void {
    if (!this.view) return;
    this.open(true);
    this.panel.search.focus();
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
    const left = stage.indexOf(view) * stage.viewSize.width;
    this.caption.follow(view.cloud.place, stage.look(view), stage.viewSize);
    this.marks.follow(view.cloud, stage.look(view), stage.viewSize, left);
  }

  /** A click on a point of the cloud. */
  clicked(view: View, row: number): void {
    if (view.run !== this.view?.run) {
      this.chosen = [];
      this.run = view.run;
    }
    this.open(true);
    this.choose(tokensOf(view.plan)[row]!, false);
  }

  /** For tests. */
  facts(): Record<string, unknown> {
    return {
      open: this.isOpen,
      colour: this.colouring,
      projection: this.projection,
      chosen: [...this.chosen],
      focus: this.focus,
      trailPieces: this.view?.trails?.length ?? 0,
      trust: this.trust,
    };
  }

  private get clouds(): View[] {
    return this.actions.views().filter((view) => view.cloud !== null);
  }

  /** The view whose tokens are chosen from. */
  private get view(): View | undefined {
    const { clouds } = this;
    return clouds.find((view) => view.run === this.run) ?? clouds[0];
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
    if (!this.chosen.includes(token)) this.chosen = [...this.chosen, token].slice(-MOST_CHOSEN);
    this.focus = token;
    this.refresh();
    const { view } = this;
    const point = view?.cloud?.pointOf(this.rowOf(view.plan, token));
    if (!fly || !view?.cloud || point === null || point === undefined) return;
    const at = view.cloud.worldOf(point, new Vector3());
    const reach = (view.cloud.place.size * CLOSE) / 2;
    this.actions.fly(
      [-1, 1].flatMap((x) => [-1, 1].flatMap((y) => [-1, 1].map((z) => at.clone().add(new Vector3(x, y, z).multiplyScalar(reach))))),
      view,
    );
  }

  private letGo(token: number): void {
    this.chosen = this.chosen.filter((one) => one !== token);
    if (this.focus === token) this.focus = this.chosen.at(-1) ?? null;
    this.refresh();
    this.panel.search.input.focus();
  }

  private forget(): void {
    this.chosen = [];
    this.focus = null;
    this.run = '';
    this.trust = null;
    this.restedAt = null;
    this.projection = 'pca';
    this.drawnKey = '';
    this.marks.clear();
    for (const words of [this.legend, this.caption]) words.hide();
  }

  private rowOf(plan: Plan, token: number): number {
    let rows = this.rows.get(plan);
    if (!rows) {
      rows = new Map(tokensOf(plan).map((one, row) => [one, row]));
      this.rows.set(plan, rows);
    }
    return rows.get(token) ?? -1;
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
      this.place(one);
      const coloured = this.colour(one);
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

  /** Coordinates that were computed once take the place of each snapshot's own. */
  private place(view: View): void {
    const computed = this.projection === 'pca' ? null : this.book.projected(view.run, this.projection).value;
    if (!computed) {
      if (view.fixedPlaces === null) return;
      view.fixedPlaces = null;
    } else {
      if (view.fixedPlaces !== null) return;
      const places = new Float32Array(tokensOf(view.plan).length * 3).fill(NaN);
      computed.tokens.forEach((token, index) => {
        const row = this.rowOf(view.plan, token);
        if (row >= 0) places.set(computed.coordinates.subarray(index * 3, index * 3 + 3), row * 3);
      });
      view.fixedPlaces = places;
    }
    view.showCloud(performance.now(), !matchMedia('(prefers-reduced-motion: reduce)').matches);
  }

  private colour(view: View): Coloured | null {
    const { frame } = view;
    const facts = view.cloud?.known;
    if (!frame?.embedding || !facts) return null;
    const { theme } = this.store.state;
    if (this.colouring === 'class') {
      return byKind(this.kinds.of(view.plan, this.actions.vocabulary(view.run)), theme);
    }
    if (this.colouring === 'cluster') {
      const clusters = this.book.clusters(view.run).value;
      return clusters ? byCluster(clusters, view.plan, theme) : byMagnitude(facts);
    }
    if (this.colouring === 'magnitude') return byMagnitude(facts);
    const { iterations } = this.store.state.runs[view.run]!;
    const at = iterations.indexOf(frame.iteration);
    const since = (this.colouring === 'moved-start' ? iterations[0] : iterations[Math.max(at - 1, 0)]) ?? frame.iteration;
    const base = this.book.coordinates(view.run, since, frame.embedding.basis).value;
    const moved = byMove(frame, base, since, this.moved);
    if (view === this.view) this.moved = moved.buffer as Float32Array<ArrayBuffer>;
    return moved;
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
    for (const token of this.chosen) {
      const at = this.rowOf(view.plan, token) * 3;
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
    const isOwn = view.fixedPlaces === null;
    const ways = isOwn ? this.book.trails(view.run, this.chosen, basis, runs[view.run]?.iterations ?? []) : [];
    const near = this.focus === null || !frame ? null : this.neighbours(view, this.focus);
    const key = [
      view.plan.number,
      theme,
      this.chosen.map((token) => this.textOf(token)).join('\0'),
      this.projection,
      ...ways.map(({ token, basis: b, iterations }) => `${token}@${b}:${iterations.length}`),
    ].join(' ');
    if (key !== this.drawnKey || trails.length === 0) {
      this.drawnKey = key;
      trails.setWays(ways.map((way) => ({ ...way, colour: trailColour(this.chosen.indexOf(way.token), theme) })));
      this.marks.pin(
        this.chosen.map((token, order) => ({
          row: this.rowOf(view.plan, token),
          text: this.textOf(token),
          colour: trailColour(order, theme),
        })),
        cloud,
      );
    }
    const placeOf = (token: number) => {
      const point = cloud.pointOf(this.rowOf(view.plan, token));
      return point === null ? null : cloud.placeOf(point);
    };
    const from = this.focus === null ? null : placeOf(this.focus);
    const to = (near?.value?.tokens ?? []).map(placeOf).filter((one) => one !== null);
    trails.setLinks(from, to, SCENE_THEMES[theme].spine);
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
    const computed = view.fixedPlaces === null ? null : this.book.projected(view.run, this.projection).value;
    const projection = computed ? `${projectionText(this.projection)}, computed once, of iteration ${computed.iteration}` : null;
    const facts = { cloud, embedding, info, trust: this.trust, key: this.coloured.key, projection };
    this.legend.show(facts);
    this.caption.show(facts);
  }

  private panelFacts(view: View): CloudPanelFacts {
    const { theme, runs } = this.store.state;
    const run = runs[view.run]!;
    const offered = this.book.projections(view.run).value;
    const closed: CloudPanelFacts['closed'] = {};
    if (!offered?.clusters) closed.cluster = 'none computed of this run';
    if (!run.info.embedding?.has_vocabulary) closed.class = 'this run knows no texts';
    return {
      recorded: tokensOf(view.plan).length,
      vocabulary: run.info.embedding?.vocabulary_size ?? 0,
      colouring: this.colouring,
      closed,
      projection: this.projection,
      projections: offered?.projections.map(({ name }) => name) ?? ['pca'],
      chosen: this.chosen.map((token, order) => ({
        token,
        text: this.textOf(token),
        colour: trailColour(order, theme),
        isFocus: token === this.focus,
        isShown: view.cloud!.pointOf(this.rowOf(view.plan, token)) !== null,
      })),
      neighbours: this.focus === null || !view.frame ? null : this.neighbours(view, this.focus),
      suggestions: this.book.suggestions(view.run, run.iterations.length),
    };
  }

  private nameNear(): void {
    const [view, stage] = [this.view, this.actions.stage()];
    if (!view?.cloud?.known || !stage) return;
    const vocabulary = this.actions.vocabulary(view.run);
    const tokens = tokensOf(view.plan);
    const camera = stage.look(view);
    this.marks.choose(view.cloud, camera, stage.viewSize, (row) => {
      const text = vocabulary?.[tokens[row]!];
      return text === undefined ? null : shownText(text);
    });
    const left = stage.indexOf(view) * stage.viewSize.width;
    this.marks.put(view.cloud, camera, stage.viewSize, left);
  }
}

function tokensOf(plan: Plan): readonly number[] {
  return plan.embedding_tokens ?? [];
}
