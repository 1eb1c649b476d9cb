/** What lies over the scene, so that no name is written under it. */

import type { ScreenRect } from '../layout/labels';

/** Tells where elements are in their scene, whenever one of them comes, goes or changes its size. */
export function watchFurniture(scene: HTMLElement, elements: readonly HTMLElement[], tell: (rects: ScreenRect[]) => void): void {
  const observer = new ResizeObserver(() => {
    const from = scene.getBoundingClientRect();
    const rects = elements.map((element) => element.getBoundingClientRect());
    tell(
      rects
        .filter(({ width, height }) => width > 0 && height > 0)
        .map(({ left, top, width, height }) => ({ left: left - from.left, top: top - from.top, width, height })),
    );
  });
  for (const element of [scene, ...elements]) observer.observe(element);
}
