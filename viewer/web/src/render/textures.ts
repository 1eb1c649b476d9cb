/** Samples of whole snapshots as textures, by their flat index: a new snapshot is one upload. */

import {
  DataArrayTexture,
  NearestFilter,
  RedIntegerFormat,
  RGBAIntegerFormat,
  RGIntegerFormat,
  UnsignedIntType,
  UnsignedShortType,
  type PixelFormatGPU,
} from 'three';
import type { AlignedSamples } from '../data/align';
import type { Cells, ScaledSamples } from '../data/further';
import { movingSamples } from '../data/samples';
import type { Frame, Plan } from '../data/types';
import { fillExtremes } from '../layout/extremes';
import { TEXTURE_SIDE } from './plateshaders';

const FORMATS = {
  half: { internal: 'R16UI', channels: 1, array: Uint16Array },
  single: { internal: 'R32UI', channels: 1, array: Uint32Array },
  pair: { internal: 'RG16UI', channels: 2, array: Uint16Array },
  four: { internal: 'RGBA16UI', channels: 4, array: Uint16Array },
} as const;

const INTEGER_FORMATS = { 1: RedIntegerFormat, 2: RGIntegerFormat, 4: RGBAIntegerFormat } as const;

type Format = keyof typeof FORMATS;
type Bits = Uint16Array<ArrayBuffer> | Uint32Array<ArrayBuffer>;

/** Whole numbers in a texture, `texels` of them in rows and layers. */
class IntegerTexture {
  readonly texture: DataArrayTexture;
  readonly data: Bits;
  /** What was put in last: the same again is no upload. */
  private content: unknown = undefined;

  constructor(format: Format, texels: number) {
    const { internal, channels, array } = FORMATS[format];
    const rows = Math.max(Math.ceil(texels / TEXTURE_SIDE), 1);
    const width = Math.min(TEXTURE_SIDE, Math.max(texels, 1));
    const height = Math.min(rows, TEXTURE_SIDE);
    const layers = Math.ceil(rows / TEXTURE_SIDE);
    this.data = new array(width * height * layers * channels);
    this.texture = new DataArrayTexture(this.data, width, height, layers);
    this.texture.format = INTEGER_FORMATS[channels];
    this.texture.type = format === 'single' ? UnsignedIntType : UnsignedShortType;
    this.texture.internalFormat = internal as PixelFormatGPU;
    this.texture.minFilter = NearestFilter;
    this.texture.magFilter = NearestFilter;
    this.texture.generateMipmaps = false;
    this.texture.needsUpdate = true;
  }

  /** Writes through `write`, unless the content is what is there already. */
  put(content: unknown, write: (data: Bits) => void): void {
    if (content === this.content) return;
    this.content = content;
    write(this.data);
    this.texture.needsUpdate = true;
  }
}

function bitsOf(numbers: Float32Array): Uint32Array {
  return new Uint32Array(numbers.buffer, numbers.byteOffset, numbers.length);
}

const OTHER_FORMATS: Readonly<Record<string, Format>> = { cells: 'four', order: 'pair' };

/** One row of one texel stands where there is nothing to read. */
const NOTHING = 1;

/** Float16 bit patterns as R16UI and float32 bit patterns as R32UI, in the order of the snapshot. */
export class PictureTextures {
  private readonly plan: Plan;
  private readonly held = new Map<string, IntegerTexture>();

  /** What the plan holds is put in once; each snapshot replaces what lies before it. */
  constructor(plan: Plan) {
    this.plan = plan;
    const half = this.make('half', 'half', plan.values);
    const single = this.make('single', 'single', plan.vectors);
    if (plan.frozen) {
      half.data.set(plan.frozen.values, movingSamples(plan, 'values'));
      single.data.set(bitsOf(plan.frozen.vectors), movingSamples(plan, 'vectors'));
    }
  }

  get bytes(): number {
    return [...this.held.values()].reduce((sum, { data }) => sum + data.byteLength, 0);
  }

  /** A texture by its name, a single texel while nothing was put into it. */
  get(name: 'half' | 'single' | 'half2' | 'single2' | 'scaled' | 'cells' | 'order'): DataArrayTexture {
    const format = name.startsWith('single') ? 'single' : (OTHER_FORMATS[name] ?? 'half');
    const held = this.held.get(name) ?? this.held.get(`no ${format}`) ?? this.make(`no ${format}`, format, NOTHING);
    return held.texture;
  }

  /** Takes a snapshot's samples; both textures change before the next draw. */
  fill({ values, vectors }: Pick<Frame, 'values' | 'vectors'>): void {
    if (values) this.at('half').put(values, (data) => data.set(values.subarray(0, data.length)));
    if (vectors) this.at('single').put(vectors, (data) => data.set(bitsOf(vectors).subarray(0, data.length)));
  }

  /** What is mixed with them. */
  fillSecond({ values, vectors }: AlignedSamples): void {
    const half = this.at('half2') ?? this.make('half2', 'half', this.plan.values);
    const single = this.at('single2') ?? this.make('single2', 'single', this.plan.vectors);
    half.put(values, (data) => data.set(values.subarray(0, data.length)));
    single.put(vectors, (data) => data.set(bitsOf(vectors).subarray(0, data.length)));
  }

  fillScaled({ samples }: ScaledSamples): void {
    const scaled = this.at('scaled') ?? this.make('scaled', 'half', this.plan.values + this.plan.vectors);
    scaled.put(samples, (data) => data.set(samples.subarray(0, data.length)));
  }

  /** Means and largest magnitudes beside each other, and the largest of what lies around each cell. */
  fillCells(cells: Cells): void {
    const { mean, absmax } = cells;
    const held = this.at('cells') ?? this.make('cells', 'four', mean.length);
    held.put(cells, (data) => {
      for (let index = 0; index < mean.length; index += 1) data[4 * index] = mean[index]!;
      if (absmax) fillExtremes(data, absmax, this.plan);
    });
  }

  /** Order and share of each row and column, beside each other. */
  fillOrder(pairs: Uint16Array): void {
    const held = this.at('order') ?? this.make('order', 'pair', pairs.length / 2);
    held.put(pairs, (data) => data.set(pairs.subarray(0, data.length)));
  }

  dispose(): void {
    for (const { texture } of this.held.values()) texture.dispose();
  }

  private at(name: 'half' | 'single'): IntegerTexture;
  private at(name: string): IntegerTexture | undefined;
  private at(name: string): IntegerTexture | undefined {
    return this.held.get(name);
  }

  private make(name: string, format: Format, texels: number): IntegerTexture {
    const made = new IntegerTexture(format, texels);
    this.held.set(name, made);
    return made;
  }
}
