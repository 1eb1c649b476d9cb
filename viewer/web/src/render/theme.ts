/** Colours of the scene that depend on the theme; the page's own are in styles.css. */

import { RAMPS, type Ramp, type Rgb } from '../layout/colour';
import type { Theme } from '../state/model';

export interface SceneTheme {
  background: Rgb;
  ramp: Ramp;
  /** How far lines are darkened toward black, to be seen on a light ground. */
  ink: number;
  spine: Rgb;
  frame: Rgb;
  /** Labels: their ground and letters as the page writes colours; how far coloured letters are darkened. */
  pill: { ground: string; title: string; plain: string; ink: number };
}

export const SCENE_THEMES: Record<Theme, SceneTheme> = {
  dark: {
    background: [0.043, 0.055, 0.078],
    ramp: RAMPS.dark,
    ink: 0,
    spine: [0.42, 0.5, 0.62],
    frame: [0.34, 0.4, 0.5],
    pill: { ground: 'rgba(13, 17, 25, 0.82)', title: '#ffffff', plain: '#d5deea', ink: 0 },
  },
  light: {
    background: [0.957, 0.965, 0.976],
    ramp: RAMPS.light,
    ink: 0.32,
    spine: [0.42, 0.5, 0.62],
    frame: [0.55, 0.6, 0.68],
    pill: { ground: 'rgba(252, 253, 254, 0.9)', title: '#0d1420', plain: '#3a4556', ink: 0.52 },
  },
};
