/** The one renderer: up to two views side by side, one camera, drawn only when something changed. */

import { Color, LinearSRGBColorSpace, WebGLRenderer, type PerspectiveCamera, type Vector3 } from 'three';
import type { ScreenRect } from '../layout/labels';
import type { Theme } from '../state/model';
import { DrawTimes } from './drawtimes';
import { Pace } from './pace';
import { ANGLES, Rig, type Angles, type Inset, type Pose } from './rig';
import { SCENE_THEMES } from './theme';
import type { View } from './view';

export interface Drawn {
  iteration: number;
  performance_ms: number;
  date_ms: number;
  /** When it was first drawn finely, with everything that belongs to it; null until then. */
  whole_ms: number | null;
}

export interface StageCounters {
  framesDrawn: number;
  drawCalls: number;
  gpuTextureBytes: number;
  /** of all clouds, as drawn */
  points: number;
  drawn: Record<string, Drawn>;
}

export interface Pixels {
  width: number;
  height: number;
  /** RGBA, rows from the bottom up */
  data: Uint8Array;
}

/** So many changes of the picture in a row are playback, and no single step. */
const MANY_CHANGES = 4;
const SETTLE_ms = 160;
/** Kept free at the top and bottom of the home view: labels, and the titles of two runs. */
const INSET_ONE_px = [22, 52] as const;
/** Without a cloud the model is where the legend lies, too. */
const INSET_PLAIN_px = [22, 52] as const;
const INSET_TWO_px = [70, 56] as const;

/** The renderer could not be made: no WebGL2. */
export class NoWebGLError extends Error {}

export class Stage {
  readonly rig = new Rig();
  readonly drawTimes = new DrawTimes();
  readonly canvas: HTMLCanvasElement;
  readonly software: boolean;
  private readonly renderer: WebGLRenderer;
  private readonly afterDraw = new Set<() => void>();
  /** Called after a draw in which the camera stood elsewhere than before. */
  onCameraMoved: () => void = () => undefined;
  /** Called after every draw, for what the page lays over points of the scene. */
  onDrawn: () => void = () => undefined;
  /** Under another tab the canvas has no size. To ask the page for it would make it lay itself out at each draw. */
  private isHidden = false;
  private views: View[] = [];
  private blocked: readonly ScreenRect[] = [];
  private cameraMoved = false;
  private handle: number | null = null;
  private settleTimer: ReturnType<typeof setTimeout> | null = null;
  private readonly pace: Pace;
  /** Fewer pixels are drawn, since the scene moves or plays. */
  private lowered = false;
  /** The scene changes, and has not come to rest since. */
  private changes = 0;
  private background = new Color();
  private size = { width: 1, height: 1 };
  private framesDrawn = 0;
  private drawCalls = 0;
  private readonly drawn: Record<string, Drawn> = {};

  /** `lost` is told when the graphics context goes, and when it is back. */
  constructor(canvas: HTMLCanvasElement, theme: Theme, lost: (isLost: boolean) => void) {
    this.canvas = canvas;
    const probe = document.createElement('canvas').getContext('webgl2');
    if (!probe) throw new NoWebGLError('This browser offers no WebGL2.');
    this.software = isSoftware(probe);
    this.pace = new Pace(this.software);
    probe.getExtension('WEBGL_lose_context')?.loseContext();
    this.renderer = new WebGLRenderer({ canvas, context: opaqueContext(canvas, !this.software) });
    this.renderer.outputColorSpace = LinearSRGBColorSpace;
    this.renderer.autoClear = false;
    this.renderer.info.autoReset = false;
    this.renderer.setPixelRatio(this.ratio);
    this.paint(theme);
    canvas.addEventListener('webglcontextlost', (event) => {
      event.preventDefault();
      lost(true);
    });
    canvas.addEventListener('webglcontextrestored', () => {
      lost(false);
      this.invalidate();
    });
  }

  /** Device pixels per CSS pixel at rest. */
  get ratio(): number {
    return this.software ? 1 : Math.min(globalThis.devicePixelRatio || 1, 2);
  }

  get viewCount(): number {
    return Math.max(this.views.length, 1);
  }

  get viewSize(): { width: number; height: number } {
    return { width: this.size.width / this.viewCount, height: this.size.height };
  }

  get aspect(): number {
    const { width, height } = this.viewSize;
    return width / Math.max(height, 1);
  }

  get counters(): StageCounters {
    return {
      framesDrawn: this.framesDrawn,
      drawCalls: this.drawCalls,
      gpuTextureBytes: this.views.reduce((sum, view) => sum + view.gpuBytes, 0),
      points: this.views.reduce((sum, view) => sum + (view.cloud?.known?.shown ?? 0), 0),
      drawn: { ...this.drawn },
    };
  }

  setViews(views: readonly View[]): void {
    this.views = [...views];
    this.invalidate();
  }

  /** Where the page has put something over the scene, CSS pixels: no name is written there. */
  setBlocked(rects: readonly ScreenRect[]): void {
    this.blocked = rects;
    this.invalidate();
  }

  shows(view: View): boolean {
    return this.views.includes(view);
  }

  resize(width: number, height: number): void {
    this.isHidden = width < 1 || height < 1;
    if (this.isHidden) return;
    this.size = { width, height };
    this.applyRatio();
    this.renderer.setSize(width, height, false);
    this.invalidate();
  }

  paint(theme: Theme): void {
    const scene = SCENE_THEMES[theme];
    this.background.setRGB(...scene.background, LinearSRGBColorSpace);
    for (const view of this.views) view.paint(scene);
    this.invalidate();
  }

  /** Draws with the next animation frame, once, however often it is called. */
  invalidate(): void {
    this.handle ??= requestAnimationFrame(() => {
      this.handle = null;
      this.draw();
    });
  }

  /**
   * Draws what is due now: within an animation frame, so that page and scene change in the same one. The
   * browser then puts the page together once for each picture, and not twice.
   */
  drawDue(): void {
    if (this.handle === null) return;
    cancelAnimationFrame(this.handle);
    this.handle = null;
    this.draw();
  }

  /** The camera moved: draw, coarser where the renderer is slow, and finely once it rests. */
  moved(): void {
    this.cameraMoved = true;
    this.lower();
    this.changed();
  }

  /** The picture changed and may change again at once: draw coarsely now, finely when it rests. */
  changed(): void {
    this.changes += 1;
    if (this.changes === MANY_CHANGES) this.lower();
    if (this.settleTimer !== null) clearTimeout(this.settleTimer);
    this.settleTimer = setTimeout(() => this.settle(), SETTLE_ms);
    this.invalidate();
  }

  /** Everything in sight, in every view. */
  home(jump: boolean): void {
    if (this.views.length === 0) return;
    const homes = this.views.map((view) => this.rig.fit(view.extremes, this.aspect, this.inset, ANGLES.home));
    this.rig.setHomes(homes);
    this.goTo(homes[0]!, jump);
  }

  /** Shows these points of one view, in a glide or at once. */
  fly(points: readonly Vector3[], view: View, jump: boolean, angles: Angles = ANGLES.fly): void {
    const pose = this.rig.fit(points, this.aspect, this.inset, angles);
    this.goTo(this.rig.poseToBase(pose, this.indexOf(view)), jump);
  }

  indexOf(view: View): number {
    return Math.max(this.views.indexOf(view), 0);
  }

  /** Sets the camera for a view, to ask where things are on screen. */
  look(view: View): PerspectiveCamera {
    this.rig.apply(this.aspect, this.indexOf(view));
    return this.rig.camera;
  }

  /** Width over height of the place that a layout has, with so many views side by side. */
  layoutAspect(views: number, hasCloud: boolean): number {
    const [top, bottom] = insetFor(views, hasCloud);
    return this.size.width / Math.max(views, 1) / Math.max(this.size.height - top - bottom, 1);
  }

  private get inset(): Inset {
    const hasCloud = this.views.every((view) => view.cloud !== null);
    const [top, bottom] = insetFor(this.views.length, hasCloud);
    const { height } = this.size;
    return { top: Math.min(top / height, 0.2), bottom: Math.min(bottom / height, 0.2) };
  }

  /** To a pose told in the world of the first view. */
  goTo(pose: Pose, jump: boolean): void {
    if (jump) this.rig.jump(pose);
    else this.rig.glideTo(pose, performance.now());
    this.moved();
  }

  /** Calls back after the next draw. */
  whenDrawn(callback: () => void): void {
    this.afterDraw.add(callback);
    this.invalidate();
  }

  /** Draws now, finely, and reads the pixels in the same task, while they are still there. */
  readPixels(): Pixels {
    this.settle();
    this.draw();
    const gl = this.renderer.getContext();
    const { drawingBufferWidth: width, drawingBufferHeight: height } = gl;
    const data = new Uint8Array(width * height * 4);
    gl.readPixels(0, 0, width, height, gl.RGBA, gl.UNSIGNED_BYTE, data);
    return { width, height, data };
  }

  private settle(): void {
    if (this.settleTimer !== null) clearTimeout(this.settleTimer);
    this.settleTimer = null;
    const wasCoarse = this.isCoarse;
    this.changes = 0;
    this.pace.rest();
    this.lowered = false;
    this.applyRatio();
    if (wasCoarse) this.invalidate();
  }

  /** One sample for a far pixel is enough for now. */
  private get isCoarse(): boolean {
    return this.changes > 0 && this.pace.isSlow;
  }

  private lower(): void {
    if (this.lowered) return;
    this.lowered = true;
    this.applyRatio();
  }

  /** Pixels are made anew, so nothing is done where their number stays. */
  private applyRatio(): void {
    const ratio = this.lowered ? this.pace.ratio(this.ratio) : this.ratio;
    if (ratio === this.renderer.getPixelRatio()) return;
    this.renderer.setPixelRatio(ratio);
    this.invalidate();
  }

  /** When the browser is ready for the next frame tells how long this one took. */
  private measure(drawn_ms: number): void {
    requestAnimationFrame(() => {
      if (this.changes === 0 || !this.pace.note(performance.now() - drawn_ms) || !this.lowered) return;
      this.applyRatio();
    });
  }

  private draw(): void {
    // Under another tab nothing is drawn; whoever waits for a draw is told that this is as good.
    if (this.isHidden) {
      this.tellDrawn();
      return;
    }
    const now_ms = performance.now();
    const isMoving = this.rig.advance(now_ms);
    let isGliding = false;
    const { renderer, rig } = this;
    if (renderer.getContext().isContextLost()) return;
    renderer.info.reset();
    renderer.setScissorTest(false);
    renderer.setClearColor(this.background, 1);
    renderer.clear();
    const { width, height } = this.viewSize;
    this.views.forEach((view, index) => {
      rig.apply(this.aspect, index);
      isGliding = (view.cloud?.advance(now_ms) ?? false) || isGliding;
      renderer.setViewport(index * width, 0, width, height);
      renderer.setScissor(index * width, 0, width, height);
      renderer.setScissorTest(true);
      view.prepare(rig.camera, { width, height, blocked: this.blockedIn(index) });
      view.plates.setDetail(renderer.getPixelRatio(), this.isCoarse);
      view.cloud?.setSharpness(renderer.getPixelRatio() / this.ratio);
      renderer.render(view.scene, rig.camera);
      if (view.frame) this.note(view);
    });
    this.framesDrawn += 1;
    this.drawCalls = renderer.info.render.calls;
    this.drawTimes.note(now_ms, performance.now() - now_ms);
    if (this.changes > 0) this.measure(now_ms);
    this.onDrawn();
    this.tellDrawn();
    if (this.cameraMoved && !isMoving) {
      this.cameraMoved = false;
      this.onCameraMoved();
    }
    if (isMoving) this.moved();
    else if (isGliding) this.invalidate();
  }

  /** What the page has put over one view, from its own top left. */
  blockedIn(index: number): ScreenRect[] {
    const { width } = this.viewSize;
    return this.blocked
      .map((rect) => ({ ...rect, left: rect.left - index * width }))
      .filter(({ left, width: wide }) => left < width && left + wide > 0);
  }

  private tellDrawn(): void {
    const callbacks = [...this.afterDraw];
    this.afterDraw.clear();
    for (const callback of callbacks) callback();
  }

  private note(view: View): void {
    const iteration = view.frame!.iteration;
    const now_ms = performance.now();
    let drawn = this.drawn[view.run];
    if (drawn?.iteration !== iteration) {
      drawn = { iteration, performance_ms: now_ms, date_ms: Date.now(), whole_ms: null };
      this.drawn[view.run] = drawn;
    }
    if (!this.isCoarse && view.isWhole) drawn.whole_ms ??= now_ms;
  }
}

/** three would ask for a canvas that may be seen through, which makes the browser blend it into the page. */
function opaqueContext(canvas: HTMLCanvasElement, antialias: boolean): WebGL2RenderingContext {
  const context = canvas.getContext('webgl2', { alpha: false, antialias, powerPreference: 'high-performance' });
  if (!context) throw new NoWebGLError('This browser offers no WebGL2.');
  return context;
}

function insetFor(views: number, hasCloud: boolean): readonly [number, number] {
  if (views > 1) return INSET_TWO_px;
  return hasCloud ? INSET_ONE_px : INSET_PLAIN_px;
}

function isSoftware(gl: WebGL2RenderingContext): boolean {
  const info = gl.getExtension('WEBGL_debug_renderer_info');
  const name = String(gl.getParameter(info ? info.UNMASKED_RENDERER_WEBGL : gl.RENDERER));
  return /swiftshader|llvmpipe|softpipe|software|basic render/i.test(name);
}
