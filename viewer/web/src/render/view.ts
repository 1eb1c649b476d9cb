/** One run's scene: made for a plan and a layout, then only fed with snapshots. */

import { Scene, Vector3, type PerspectiveCamera } from 'three';
import type { Frame, Plan } from '../data/types';
import { layoutModel } from '../layout/architecture';
import type { Box, Layout, Rect } from '../layout/boxes';
import type { CellAddress } from '../layout/cells';
import { boundsOf, type ScreenRect } from '../layout/labels';
import { takesCells } from '../state/recipe';
import { Cloud } from './cloud';
import { Labels, type Room, type ShownLabel } from './labels';
import { Lines } from './lines';
import { colouredOf, orderStarts, ordersOf, plateLook, type PlateLook, type Served } from './looks';
import { Margins } from './margins';
import { DimensionMarks } from './marks';
import { quadsOf, type Plate } from './platequads';
import { Plates } from './plates';
import { PictureTextures } from './textures';
import { Trails } from './trails';
import { cornersOf } from './rig';
import type { SceneTheme } from './theme';

export interface ViewOptions {
  aspect: number;
  /** A cloud is expected in the frames. */
  cloud: boolean;
  software: boolean;
  /** device pixels per CSS pixel */
  ratio: number;
  theme: SceneTheme;
}

/** SwiftShader draws 10,000 points at an acceptable rate, a GPU far more. */
const MOST_POINTS = { software: 10_000, hardware: 250_000 };
/** Samples per axis that a far pixel averages. */
const TAPS = { software: 2, hardware: 4 };

export class View {
  readonly run: string;
  readonly plan: Plan;
  readonly layout: Layout;
  readonly plates: Plates;
  readonly cloud: Cloud | null;
  readonly trails: Trails | null;
  readonly scene = new Scene();
  private readonly textures: PictureTextures;
  private readonly margins: Margins;
  private readonly lines: Lines;
  private readonly labels: Labels;
  private readonly marks: DimensionMarks;
  private hovered = -1;
  private selected = -1;
  /** The camera that the labels were placed for. */
  private cameraKey: number[] = [];
  /** Coordinates of the cloud that were computed once, shown instead of each snapshot's own. */
  fixedPlaces: Float32Array | null = null;
  /** The snapshot on screen, null where there is none to show. */
  frame: Frame | null = null;
  /** All of the picture on screen. */
  served: Served | null = null;
  look: PlateLook | null = null;
  private readonly starts: number[];
  private readonly orderLength: number;
  /** Orders and shares, made anew when other norms come. */
  private orders: { key: unknown[]; pairs: Uint16Array | null } = { key: [], pairs: null };

  constructor(run: string, plan: Plan, options: ViewOptions) {
    this.run = run;
    this.plan = plan;
    this.layout = layoutModel(plan.tensors, { aspect: options.aspect, cloud: options.cloud });
    this.textures = new PictureTextures(plan);
    const kind = options.software ? 'software' : 'hardware';
    const { starts, length } = orderStarts(this.layout.boxes, plan);
    this.starts = starts;
    this.orderLength = length;
    this.plates = new Plates(this.layout.boxes, plan, this.textures, starts, TAPS[kind]);
    this.margins = new Margins(this.layout.boxes, plan, starts);
    this.lines = new Lines(this.layout.lines, options.theme);
    this.marks = new DimensionMarks(this.layout, plan.tensors, options.theme);
    this.labels = new Labels(this.layout.labels, platesOf(this.layout.boxes), options.ratio, this.marks.vocabulary);
    this.scene.add(...this.plates.meshes, this.margins.mesh, this.lines.mesh, this.marks.group, this.labels.mesh);
    this.cloud = this.layout.cloud ? new Cloud(this.layout.cloud, MOST_POINTS[kind], options.ratio) : null;
    this.trails = this.layout.cloud ? new Trails(this.layout.cloud) : null;
    if (this.cloud && this.trails) this.scene.add(this.cloud.points, this.cloud.frame, this.trails.mesh);
    this.paint(options.theme);
  }

  get gpuBytes(): number {
    return this.textures.bytes + this.labels.bytes + (this.cloud?.bytes ?? 0) + (this.trails?.bytes ?? 0);
  }

  /** Nothing of the picture on screen is still on its way. */
  get isWhole(): boolean {
    if (!this.served) return false;
    const { look, cells, norms } = this.served.picture;
    return norms !== null && (cells !== null || !takesCells(look));
  }

  /** Everything of one picture at once; null, or one without a frame, takes the old picture away. */
  show(served: Served | null, now_ms: number, mayGlide: boolean): void {
    const { picture } = served ?? {};
    this.frame = picture?.frame ?? null;
    this.served = this.frame ? served : null;
    this.look = this.served && this.lookOf(this.served, this.frame!);
    this.plates.show(this.look);
    const hasOrders = this.look !== null && this.orders.pairs !== null;
    this.margins.show(hasOrders ? this.textures.get('order') : null, this.plates.sort);
    this.showCloud(now_ms, mayGlide);
  }

  showCloud(now_ms: number, mayGlide: boolean): void {
    if (!this.cloud) return;
    this.cloud.show(this.frame?.embedding ?? null, now_ms, mayGlide, this.fixedPlaces);
    this.trails?.follow(this.frame?.iteration ?? 0, this.cloud.scale);
  }

  /** Mixes in so much of the snapshot that playback goes to; false if there is none. */
  progress(share: number): boolean {
    if (this.served?.picture.second?.use !== 'next' || !this.look?.coloured.second) return false;
    this.look.coloured.weights = [1 - share, share];
    this.plates.weigh(this.look.coloured.weights);
    return true;
  }

  /** Which sample is drawn at a place of a plate: another one if rows or columns are sorted. */
  sampleOf({ plate, row, column }: CellAddress): { row: number; column: number } {
    const { pairs } = this.orders;
    const box = this.layout.boxes[plate];
    if (!pairs || !box || !this.look) return { row, column };
    const start = this.starts[plate]!;
    const rows = this.plan.tensors[box.tensor]!.grid[0];
    return {
      row: this.look.sortRows ? pairs[(start + row) * 2]! : row,
      column: this.look.sortColumns ? pairs[(start + rows + column) * 2]! : column,
    };
  }

  /** The address of a whole row of samples, wherever sorting has put it. */
  rowOf(tensor: number, row: number): CellAddress | null {
    const plate = this.plateOf(tensor);
    const rows = this.plan.tensors[tensor]?.grid[0] ?? 0;
    const places = Array.from({ length: rows }, (_, place) => place);
    const at = places.find((place) => this.sampleOf({ plate, row: place, column: 0 }).row === row);
    return plate < 0 || at === undefined ? null : { plate, row: at, column: -1 };
  }

  private lookOf(served: Served, frame: Frame): PlateLook {
    const { boxes } = this.layout;
    const { picture, positions, look } = served;
    const coloured = colouredOf(served, this.plan);
    this.textures.fill(frame);
    if (coloured.second) this.textures.fillSecond(coloured.second);
    if (coloured.scaled) this.textures.fillScaled(coloured.scaled);
    const made = plateLook(served, boxes, coloured);
    if (made.hasCells) this.textures.fillCells(picture.cells!.content!);
    const key = [picture.norms?.content, positions, look.colourBy === 'gradient'];
    if (!key.every((part, index) => part === this.orders.key[index])) {
      this.orders = { key, pairs: ordersOf(served, boxes, this.plan, this.orderLength) };
    }
    if (this.orders.pairs) this.textures.fillOrder(this.orders.pairs);
    else made.sortRows = made.sortColumns = false;
    return made;
  }

  paint(theme: SceneTheme): void {
    this.plates.paint(theme);
    this.margins.paint(theme);
    this.lines.paint(theme);
    this.marks.paint(theme);
    this.labels.paint(theme);
    this.cloud?.paint(theme);
    this.trails?.paint(theme);
  }

  /** What depends on the camera: which labels are shown, how thin a line may get. */
  prepare(camera: PerspectiveCamera, room: Room): void {
    const { width: width_px, height: height_px } = room;
    const blocked = room.blocked.flatMap(({ left, top, width, height }) => [left, top, width, height]);
    const key = [...camera.matrixWorld.elements, ...camera.projectionMatrix.elements, width_px, height_px, ...blocked];
    if (key.length === this.cameraKey.length && key.every((value, index) => value === this.cameraKey[index])) return;
    this.cameraKey = key;
    this.labels.place(camera, room);
    this.plates.setView(camera, height_px);
    this.lines.setView(camera, height_px);
    this.margins.setView(camera, height_px);
    this.marks.setView(camera, height_px);
    this.trails?.setView(width_px, height_px);
  }

  /** Names on screen, CSS pixels from the view's top left. */
  get shownLabels(): readonly ShownLabel[] {
    return this.labels.shown;
  }

  /** Whether a rectangle of the view lies on no name and no plate. */
  isFree(rect: ScreenRect): boolean {
    return this.labels.isFree(rect);
  }

  /** The points that must be in sight to see everything. */
  get extremes(): Vector3[] {
    const points = cornersOf(this.layout.core);
    if (!this.layout.cloud) return points;
    const { x, y, size } = this.layout.cloud;
    const h = size / 2;
    return [...points, ...cornersOf({ left: x - h, right: x + h, bottom: y - h, top: y + h }, size)];
  }

  /** False if nothing changed by it. */
  highlight(cell: CellAddress | null): boolean {
    this.hovered = cell?.plate ?? -1;
    this.mark();
    return this.plates.highlight(cell);
  }

  plateOf(tensor: number): number {
    return this.layout.boxes.findIndex((box) => box.tensor === tensor);
  }

  select(tensor: number | null): void {
    this.selected = tensor === null ? -1 : this.plateOf(tensor);
    this.plates.select(this.selected);
    this.mark();
  }

  /** Names the axes of the tensor under the pointer, or else of the chosen one. */
  private mark(): void {
    const labels = this.marks.mark(this.hovered >= 0 ? this.hovered : this.selected);
    if (!labels) return;
    this.labels.showPassing(labels);
    this.cameraKey = [];
  }

  /** The part of the picture that a tensor or its neighbours take, to fly to. */
  rectOf(tensor: number): Rect | null {
    const box = this.layout.boxes[this.plateOf(tensor)];
    if (!box) return null;
    const margin = Math.max(box.width, box.height) * 0.15 + 0.5;
    return {
      left: box.x - box.width / 2 - margin,
      right: box.x + box.width / 2 + margin,
      bottom: box.y - box.height / 2 - margin,
      top: box.y + box.height / 2 + margin,
    };
  }

  /** The pieces of a plate on screen, CSS pixels from the view's top left. */
  piecesOf(plate: number, camera: PerspectiveCamera, size: { width: number; height: number }): ScreenRect[] {
    const box = this.layout.boxes[plate];
    return box ? quadsOf(platesOf([box]), camera, size.width, size.height).map(boundsOf) : [];
  }

  /** Corners of a plate's front on screen, CSS pixels from the view's top left. */
  screenRectOf(
    tensor: number,
    camera: PerspectiveCamera,
    size: { width: number; height: number },
  ): { left: number; top: number; width: number; height: number } | null {
    const box = this.layout.boxes[this.plateOf(tensor)];
    if (!box) return null;
    const matrix = camera.projectionMatrix.clone().multiply(camera.matrixWorldInverse);
    const xs: number[] = [];
    const ys: number[] = [];
    for (const sx of [-0.5, 0.5]) {
      for (const sy of [-0.5, 0.5]) {
        const at = new Vector3(box.x + sx * box.width, box.y + sy * box.height, 0).applyMatrix4(matrix);
        xs.push((at.x * 0.5 + 0.5) * size.width);
        ys.push((0.5 - at.y * 0.5) * size.height);
      }
    }
    const [left, top] = [Math.min(...xs), Math.min(...ys)];
    return { left, top, width: Math.max(...xs) - left, height: Math.max(...ys) - top };
  }

  dispose(): void {
    this.plates.dispose();
    this.margins.dispose();
    this.lines.dispose();
    this.marks.dispose();
    this.labels.dispose();
    this.cloud?.dispose();
    this.trails?.dispose();
    this.textures.dispose();
  }
}

/** A tensor that stands in pieces apart is not in the way between them. */
const platesOf = (boxes: readonly Box[]): Plate[] => boxes.flatMap((box): Plate[] => box.slices ?? [box]);
