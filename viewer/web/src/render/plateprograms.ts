/** The programs that draw the plates: one for each set of features that a picture takes, made when first needed. */

import { GLSL3, ShaderMaterial, type IUniform } from 'three';
import { PLATE_FRAGMENT, PLATE_VERTEX } from './plateshaders';

/** By the names that the shader knows them by. */
export interface PlateFeatures {
  FINE: boolean;
  CELLS: boolean;
  SORTED: boolean;
  SECOND: boolean;
  SCALED: boolean;
  TILES: boolean;
  HOVER: boolean;
  LINES: boolean;
  BLANK: boolean;
  PARTS: boolean;
  ODD: boolean;
}

const NOTHING: PlateFeatures = {
  ...{ FINE: false, CELLS: false, SORTED: false, SECOND: false, SCALED: false },
  ...{ TILES: false, HOVER: false, LINES: false, BLANK: false, PARTS: false, ODD: false },
};

export class PlatePrograms {
  readonly features: PlateFeatures;
  private readonly uniforms: Record<string, IUniform>;
  private readonly made = new Map<string, ShaderMaterial>();

  /** All programs share the uniforms. `always`: features that these plates have in every picture. */
  constructor(uniforms: Record<string, IUniform>, always: Partial<PlateFeatures>) {
    this.uniforms = uniforms;
    this.features = { ...NOTHING, FINE: true, LINES: true, BLANK: true, ...always };
  }

  /** The one for the features as they are now. */
  get current(): ShaderMaterial {
    const names = Object.entries(this.features).flatMap(([name, wanted]) => (wanted ? [name] : []));
    const key = names.join();
    let material = this.made.get(key);
    if (!material) {
      material = new ShaderMaterial({
        glslVersion: GLSL3,
        vertexShader: PLATE_VERTEX,
        fragmentShader: PLATE_FRAGMENT,
        defines: Object.fromEntries(names.map((name) => [name, ''])),
      });
      material.uniforms = this.uniforms;
      this.made.set(key, material);
    }
    return material;
  }

  dispose(): void {
    for (const material of this.made.values()) material.dispose();
  }
}
