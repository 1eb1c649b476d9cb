/** Samples of a whole snapshot in one texture, by their flat index: a new snapshot is one upload. */

import {
  DataArrayTexture,
  NearestFilter,
  RedIntegerFormat,
  UnsignedIntType,
  UnsignedShortType,
  type PixelFormatGPU,
  type TextureDataType,
} from 'three';
import { movingSamples } from '../data/samples';
import type { Plan } from '../data/types';
import { TEXTURE_SIDE } from './shaders';

interface Layers {
  height: number;
  layers: number;
}

function layersFor(samples: number): Layers {
  const rows = Math.max(Math.ceil(samples / TEXTURE_SIDE), 1);
  return { height: Math.min(rows, TEXTURE_SIDE), layers: Math.ceil(rows / TEXTURE_SIDE) };
}

function bitsOf(numbers: Float32Array): Uint32Array {
  return new Uint32Array(numbers.buffer, numbers.byteOffset, numbers.length);
}

function integerTexture(
  data: Uint16Array<ArrayBuffer> | Uint32Array<ArrayBuffer>,
  { height, layers }: Layers,
  internalFormat: PixelFormatGPU,
  type: TextureDataType,
): DataArrayTexture {
  const texture = new DataArrayTexture(data, TEXTURE_SIDE, height, layers);
  texture.format = RedIntegerFormat;
  texture.type = type;
  texture.internalFormat = internalFormat;
  texture.minFilter = NearestFilter;
  texture.magFilter = NearestFilter;
  texture.generateMipmaps = false;
  texture.needsUpdate = true;
  return texture;
}

/** float16 bit patterns as R16UI and float32 bit patterns as R32UI, in the order of the snapshot. */
export class SampleTextures {
  readonly half: DataArrayTexture;
  readonly single: DataArrayTexture;
  readonly bytes: number;
  private readonly halfBits: Uint16Array<ArrayBuffer>;
  private readonly singleBits: Uint32Array<ArrayBuffer>;

  /** What the plan holds is put in once; each snapshot replaces what lies before it. */
  constructor(plan: Plan) {
    const halfLayers = layersFor(plan.values);
    const singleLayers = layersFor(plan.vectors);
    this.halfBits = new Uint16Array(TEXTURE_SIDE * halfLayers.height * halfLayers.layers);
    this.singleBits = new Uint32Array(TEXTURE_SIDE * singleLayers.height * singleLayers.layers);
    if (plan.frozen) {
      this.halfBits.set(plan.frozen.values, movingSamples(plan, 'values'));
      this.singleBits.set(bitsOf(plan.frozen.vectors), movingSamples(plan, 'vectors'));
    }
    this.half = integerTexture(this.halfBits, halfLayers, 'R16UI', UnsignedShortType);
    this.single = integerTexture(this.singleBits, singleLayers, 'R32UI', UnsignedIntType);
    this.bytes = this.halfBits.byteLength + this.singleBits.byteLength;
  }

  /** Takes a snapshot's samples; both textures change before the next draw. */
  fill(values: Uint16Array | null, vectors: Float32Array | null): void {
    if (values) {
      this.halfBits.set(values.subarray(0, this.halfBits.length));
      this.half.needsUpdate = true;
    }
    if (vectors) {
      this.singleBits.set(bitsOf(vectors).subarray(0, this.singleBits.length));
      this.single.needsUpdate = true;
    }
  }

  dispose(): void {
    this.half.dispose();
    this.single.dispose();
  }
}
