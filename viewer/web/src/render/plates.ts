/** All tensors of a run as instanced plates: one draw call, positions set once, looks set per snapshot. */

import {
  BoxGeometry,
  InstancedBufferAttribute,
  InstancedBufferGeometry,
  IntType,
  Mesh,
  Vector2,
  Vector3,
  type IUniform,
  type PerspectiveCamera,
  type ShaderMaterial,
} from 'three';
import { isLost } from '../data/samples';
import type { Plan, TensorInfo } from '../data/types';
import type { Box, Slice } from '../layout/boxes';
import { slicesOf, type CellAddress } from '../layout/cells';
import { blockHue } from '../layout/colour';
import {
  LINES_FROM_px,
  LookFlag,
  PlateFlag,
  SourceCode,
  SPLIT_MOST,
  SPLIT_SHIFT,
  TILE_SHIFT,
} from './plateshaders';
import type { PlateLook } from './looks';
import { PlatePrograms, type PlateFeatures } from './plateprograms';
import type { PictureTextures } from './textures';
import type { SceneTheme } from './theme';

const DEPTH = 1.1;
const STRIP_DEPTH = 0.8;

function flagsOf(box: Box, tensor: TensorInfo, plan: Plan): number {
  let flags = 0;
  if (tensor.array === 'vectors') flags |= PlateFlag.single;
  if (box.transposed) flags |= PlateFlag.transposed;
  if (box.ghost) flags |= PlateFlag.ghost;
  if (tensor.samples === 0 || isLost(plan, tensor)) flags |= PlateFlag.empty;
  if (box.split) {
    flags |= box.split.axis === 'rows' ? PlateFlag.splitRows : PlateFlag.splitColumns;
    flags |= Math.min(box.split.parts, SPLIT_MOST) << SPLIT_SHIFT;
  }
  if (box.tile) flags |= (box.tile[0] | (box.tile[1] << 4)) << TILE_SHIFT;
  return flags;
}

/** What one instance shows: a tensor's plate, or a slice of it. */
interface Piece {
  box: Box;
  plate: number;
  tensor: TensorInfo;
  slice: Slice;
}

/** Plates of one kind: one draw call. */
interface Group {
  mesh: Mesh<InstancedBufferGeometry, ShaderMaterial>;
  programs: PlatePrograms;
  /** The box of each instance. */
  owners: readonly number[];
  looks: Float32Array;
}

/** A vector, whose elements may be bars, or a plate that has nothing to show. */
function isOdd({ box, tensor }: Piece): boolean {
  return tensor.array === 'vectors' || tensor.grid[0] <= 1 || box.ghost || tensor.samples === 0;
}

/** The shorter side of one of its cells, in world units. */
function cellSize({ box, slice: { width, height, rows, columns } }: Piece): number {
  const [across, down] = box.transposed ? [rows, columns] : [columns, rows];
  const wide = box.tile ? box.tile[0] : 1;
  return Math.min((width / Math.max(across, 1)) * wide, height / Math.max(down * wide, 1));
}

export class Plates {
  readonly meshes: readonly Mesh[];
  private readonly textures: PictureTextures;
  private readonly uniforms: Record<string, IUniform>;
  private readonly groups: readonly Group[];
  private readonly pieces: readonly Piece[];
  private readonly largestCell: number;
  private unit_px = Infinity;

  /** `starts`: where each box's rows and columns begin in the texture of orders. */
  constructor(
    boxes: readonly Box[],
    plan: Plan,
    textures: PictureTextures,
    starts: readonly number[],
    taps: number,
  ) {
    this.textures = textures;
    this.pieces = boxes.flatMap((box, plate) => {
      const tensor = plan.tensors[box.tensor]!;
      return slicesOf(box, tensor).map((slice) => ({ box, plate, tensor, slice }));
    });
    this.largestCell = Math.max(0, ...this.pieces.filter(({ tensor }) => tensor.samples > 0).map(cellSize));
    this.uniforms = {
      uHalf: { value: null },
      uSingle: { value: null },
      uHalf2: { value: null },
      uSingle2: { value: null },
      uCells: { value: null },
      uOrder: { value: null },
      uWeights: { value: new Vector2(1, 0) },
      uScaledBase: { value: -1 },
      uSource: { value: SourceCode.auto },
      uSort: { value: new Vector2() },
      uHasData: { value: false },
      uBackground: { value: new Vector3() },
      uZero: { value: new Vector3() },
      uNegative: { value: new Vector3() },
      uHover: { value: new Vector3(-1, -1, -1) },
      uSelected: { value: -1 },
      uTaps: { value: taps },
    };
    const odd = this.pieces.filter(isOdd);
    const plain = this.pieces.filter((piece) => !isOdd(piece));
    this.groups = [
      this.group(plain, plan, starts, { ODD: false }),
      this.group(odd, plan, starts, { ODD: true }),
    ].filter(({ owners }) => owners.length > 0);
    this.meshes = this.groups.map(({ mesh }) => mesh);
  }

  /** Takes the look of a new picture; null means that there is none to show. */
  show(look: PlateLook | null): void {
    this.set('uHasData', look !== null);
    this.use({ BLANK: !look || look.plates.some(({ missing }) => missing) });
    if (!look) return;
    for (const { owners, looks, mesh } of this.groups) {
      owners.forEach((box, instance) => {
        const { scale, meanScale, cellScale, missing, moved } = look.plates[box]!;
        const flags = (missing ? LookFlag.missing : 0) | (moved ? LookFlag.moved : 0);
        looks.set([scale, meanScale, cellScale, flags], instance * 4);
      });
      mesh.geometry.getAttribute('iLook').needsUpdate = true;
    }
    this.set('uHalf', this.textures.get(look.scaledBase === null ? 'half' : 'scaled'));
    this.set('uSingle', this.textures.get('single'));
    this.set('uHalf2', this.textures.get('half2'));
    this.set('uSingle2', this.textures.get('single2'));
    this.set('uCells', this.textures.get('cells'));
    this.set('uOrder', this.textures.get('order'));
    this.set('uScaledBase', look.scaledBase ?? -1);
    this.set('uSource', SourceCode[look.source]);
    this.sort.set(Number(look.sortRows), Number(look.sortColumns));
    this.weigh(look.weights);
    this.use({
      CELLS: look.hasCells,
      SORTED: look.sortRows || look.sortColumns,
      SECOND: look.coloured.second !== null,
      SCALED: look.scaledBase !== null,
    });
  }

  /** How much of the snapshot and of the second one is drawn. */
  weigh([first, second]: readonly [number, number]): void {
    (this.uniform('uWeights').value as Vector2).set(first, second);
  }

  get sort(): Vector2 {
    return this.uniform('uSort').value as Vector2;
  }

  /** False if this cell was highlighted already. */
  highlight(cell: CellAddress | null): boolean {
    const value = this.uniform('uHover').value as Vector3;
    const before = value.clone();
    value.set(cell?.plate ?? -1, cell?.row ?? -1, cell?.column ?? -1);
    this.use({ HOVER: cell !== null });
    return !value.equals(before);
  }

  /** How large a unit of the world is on screen where it is largest, in CSS pixels. */
  setView(camera: PerspectiveCamera, height_px: number): void {
    const { elements } = camera.matrixWorldInverse;
    const depths = this.pieces.flatMap(({ slice: { x, y, width, height } }) =>
      [-0.5, 0.5].flatMap((across) =>
        [-0.5, 0.5].map((up) => {
          const [at, above] = [x + across * width, y + up * height];
          return -(elements[2]! * at + elements[6]! * above + elements[14]!);
        }),
      ),
    );
    const nearest = Math.min(...depths);
    this.unit_px = nearest > 0 ? ((camera.projectionMatrix.elements[5]! / 2) * height_px) / nearest : Infinity;
  }

  /** How a frame is drawn: with so many device pixels per CSS pixel; coarse ones sum up one sample for each. */
  setDetail(ratio: number, isCoarse: boolean): void {
    this.use({ FINE: !isCoarse, LINES: this.unit_px * ratio * this.largestCell > LINES_FROM_px });
  }

  select(plate: number): void {
    this.set('uSelected', plate);
  }

  paint(theme: SceneTheme): void {
    (this.uniform('uBackground').value as Vector3).set(...theme.background);
    (this.uniform('uZero').value as Vector3).set(...theme.ramp.zero);
    (this.uniform('uNegative').value as Vector3).set(...theme.ramp.negative);
  }

  dispose(): void {
    for (const { mesh, programs } of this.groups) {
      mesh.geometry.dispose();
      programs.dispose();
    }
  }

  private group(pieces: readonly Piece[], plan: Plan, starts: readonly number[], always: Partial<PlateFeatures>): Group {
    const geometry = plateGeometry(pieces, plan, starts);
    const looks = new Float32Array(pieces.length * 4);
    geometry.setAttribute('iLook', new InstancedBufferAttribute(looks, 4));
    const [TILES, PARTS] = [pieces.some(({ box }) => box.tile), pieces.some(({ box }) => box.tile ?? box.split)];
    const programs = new PlatePrograms(this.uniforms, { ...always, TILES, PARTS });
    const mesh = new Mesh(geometry, programs.current);
    mesh.frustumCulled = false;
    return { mesh, programs, looks, owners: pieces.map(({ plate }) => plate) };
  }

  private use(features: Partial<PlateFeatures>): void {
    for (const { programs, mesh } of this.groups) {
      Object.assign(programs.features, features);
      mesh.material = programs.current;
    }
  }

  private uniform(name: string): IUniform {
    return this.uniforms[name]!;
  }

  private set(name: string, value: unknown): void {
    this.uniform(name).value = value;
  }
}

function plateGeometry(pieces: readonly Piece[], plan: Plan, starts: readonly number[]): InstancedBufferGeometry {
  const geometry = new InstancedBufferGeometry();
  const cube = new BoxGeometry(1, 1, 1);
  geometry.index = cube.index;
  geometry.setAttribute('position', cube.getAttribute('position'));
  geometry.setAttribute('normal', cube.getAttribute('normal'));
  const count = pieces.length;
  geometry.instanceCount = count;
  const centres = new Float32Array(count * 2);
  const sizes = new Float32Array(count * 3);
  const sources = new Uint32Array(count * 4);
  const ranges = new Uint32Array(count * 4);
  const places = new Uint32Array(count * 2);
  const plates = new Uint32Array(count);
  const hues = new Float32Array(count * 3);
  const cells = new Map(plan.places.cells.map(([tensor, offset]) => [tensor, offset]));
  pieces.forEach(({ box, plate, tensor, slice }, index) => {
    const strip = Math.min(slice.width, slice.height) < 1.5;
    centres.set([slice.x, slice.y], index * 2);
    sizes.set([slice.width, slice.height, strip ? STRIP_DEPTH : DEPTH], index * 3);
    const [rows, columns] = tensor.grid;
    sources.set([tensor.offset, Math.max(rows, 1), Math.max(columns, 1), flagsOf(box, tensor, plan)], index * 4);
    ranges.set([slice.row, slice.column, Math.max(slice.rows, 1), Math.max(slice.columns, 1)], index * 4);
    // Of the cells one more than the offset, since 0 says that there are none.
    const cell = cells.get(box.tensor);
    places.set([cell === undefined ? 0 : cell + 1, starts[plate]!], index * 2);
    plates[index] = plate;
    hues.set(blockHue(box.block), index * 3);
  });
  geometry.setAttribute('iCentre', new InstancedBufferAttribute(centres, 2));
  geometry.setAttribute('iSize', new InstancedBufferAttribute(sizes, 3));
  geometry.setAttribute('iSource', integers(sources, 4));
  geometry.setAttribute('iSlice', integers(ranges, 4));
  geometry.setAttribute('iPlaces', integers(places, 2));
  geometry.setAttribute('iPlate', integers(plates, 1));
  geometry.setAttribute('iHue', new InstancedBufferAttribute(hues, 3));
  return geometry;
}

function integers(numbers: Uint32Array, size: number): InstancedBufferAttribute {
  const attribute = new InstancedBufferAttribute(numbers, size);
  attribute.gpuType = IntType;
  return attribute;
}
