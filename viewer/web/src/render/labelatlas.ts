/** Texts as pills, each drawn once into one texture, in the colours of the theme. */

import { CanvasTexture, LinearFilter } from 'three';
import type { Label } from '../layout/boxes';
import { mix, toCss } from '../layout/colour';
import type { SceneTheme } from './theme';

const WIDTH = 1024;
const MOST_HEIGHT = 2048;
const FONTS: Record<Label['tone'], string> = {
  title: '600 12px "Inter Variable", sans-serif',
  plain: '500 11px "Inter Variable", sans-serif',
};
const PAD_X = 6;
const HEIGHT_px: Record<Label['tone'], number> = { title: 20, plain: 17 };

export interface Glyph {
  /** texels */
  x: number;
  y: number;
  width: number;
  height: number;
}

type Text = Pick<Label, 'text' | 'tone' | 'hue'>;

const keyOf = ({ tone, hue, text }: Text) => `${tone} ${hue?.join() ?? ''} ${text}`;

export class LabelAtlas {
  readonly texture: CanvasTexture;
  private readonly canvas = document.createElement('canvas');
  private readonly texts = new Map<string, { text: Text; glyph: Glyph }>();
  private readonly ratio: number;

  /** Every text once, in this order, until the atlas is full. `ratio`: device pixels per CSS pixel. */
  constructor(texts: readonly Text[], ratio: number) {
    this.ratio = ratio;
    const context = this.canvas.getContext('2d')!;
    let [x, y, rowHeight] = [0, 0, 0];
    for (const text of texts) {
      if (this.texts.has(keyOf(text))) continue;
      context.font = FONTS[text.tone];
      const width = Math.ceil((context.measureText(text.text).width + 2 * PAD_X) * ratio);
      const height = Math.ceil(HEIGHT_px[text.tone] * ratio);
      if (width > WIDTH * ratio) continue;
      if (x + width > WIDTH * ratio) {
        y += rowHeight + 1;
        [x, rowHeight] = [0, 0];
      }
      if (y + height > MOST_HEIGHT) break;
      this.texts.set(keyOf(text), { text, glyph: { x, y, width, height } });
      x += width + 1;
      rowHeight = Math.max(rowHeight, height);
    }
    this.canvas.width = WIDTH * ratio;
    this.canvas.height = Math.max(y + rowHeight, 1);
    this.texture = new CanvasTexture(this.canvas);
    this.texture.minFilter = LinearFilter;
    this.texture.magFilter = LinearFilter;
    this.texture.generateMipmaps = false;
    this.texture.flipY = false;
    this.texture.premultiplyAlpha = true;
  }

  get size(): { width: number; height: number } {
    return this.canvas;
  }

  get bytes(): number {
    return this.canvas.width * this.canvas.height * 4;
  }

  /** Where a text lies in the texture; undefined where it found no room. */
  glyphOf(text: Text): Glyph | undefined {
    return this.texts.get(keyOf(text))?.glyph;
  }

  paint(theme: SceneTheme): void {
    const context = this.canvas.getContext('2d')!;
    context.clearRect(0, 0, this.canvas.width, this.canvas.height);
    for (const { text, glyph } of this.texts.values()) drawPill(context, text, glyph, this.ratio, theme);
    this.texture.needsUpdate = true;
  }
}

function drawPill(context: CanvasRenderingContext2D, text: Text, glyph: Glyph, ratio: number, theme: SceneTheme): void {
  const { x, y, width, height } = glyph;
  const { pill } = theme;
  context.beginPath();
  context.roundRect(x, y, width, height, height / 2);
  context.fillStyle = pill.ground;
  context.fill();
  context.save();
  context.translate(x, y);
  context.scale(ratio, ratio);
  context.font = FONTS[text.tone];
  context.textBaseline = 'middle';
  const plain = text.tone === 'title' ? pill.title : pill.plain;
  // Bright hues are darkened where the ground is light.
  context.fillStyle = text.hue ? toCss(mix(text.hue, [0, 0, 0], pill.ink)) : plain;
  context.fillText(text.text, PAD_X, HEIGHT_px[text.tone] / 2 + 0.5);
  context.restore();
}
