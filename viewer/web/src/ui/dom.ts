/** Making elements. Text is always set as text, never as markup: names come from untrusted runs. */

type Attributes = Record<string, string | number | boolean | null | undefined>;
type Child = Node | string | null;

/** An element with attributes; `false`, null and undefined leave one out. */
export function h<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  attributes: Attributes = {},
  ...children: Child[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  setAttributes(element, attributes);
  element.append(...children.filter((child) => child !== null));
  return element;
}

function setAttributes(element: Element, attributes: Attributes): void {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    element.setAttribute(name, value === true ? '' : String(value));
  }
}

/** An icon of one path in a box of 24. */
export function icon(path: string): SVGSVGElement {
  const svg = document.createElementNS('http://www.w3.org/2000/svg', 'svg');
  setAttributes(svg, { viewBox: '0 0 24 24', class: 'icon', 'aria-hidden': 'true' });
  const shape = document.createElementNS('http://www.w3.org/2000/svg', 'path');
  shape.setAttribute('d', path);
  svg.append(shape);
  return svg;
}

export const ICONS = {
  first: 'M6 5h2v14H6zM20 5v14l-10-7z',
  back: 'M15 5v14l-9-7zM17 5h2v14h-2z',
  play: 'M7 4.5v15l12-7.5z',
  pause: 'M6 5h4v14H6zM14 5h4v14h-4z',
  forward: 'M9 5v14l9-7zM5 5h2v14H5z',
  last: 'M16 5h2v14h-2zM4 5v14l10-7z',
  moon: 'M20 14.5A8.5 8.5 0 0 1 9.5 4 8.5 8.5 0 1 0 20 14.5z',
  sun: 'M12 7a5 5 0 1 0 0 10 5 5 0 0 0 0-10zM11 1h2v3h-2zM11 20h2v3h-2zM1 11h3v2H1zM20 11h3v2h-3zM4.2 2.8l2.1 2.1-1.4 1.4-2.1-2.1zM17.7 19.1l1.4-1.4 2.1 2.1-1.4 1.4zM2.8 19.8l2.1-2.1 1.4 1.4-2.1 2.1zM19.1 6.3l-1.4-1.4 2.1-2.1 1.4 1.4z',
  help: 'M12 2a10 10 0 1 0 0 20 10 10 0 0 0 0-20zm1 16h-2v-2h2zm1.9-7.2c-1.2 1-1.9 1.5-1.9 2.7h-2c0-2.100 1.200-3 2.300-3.900.9-.7 1.300-1.100 1.300-1.800a2.100 2.100 0 0 0-4.200 0h-2a4.100 4.100 0 0 1 8.200 0c0 1.500-.9 2.300-1.700 3z',
  home: 'M4 11l8-7 8 7v9h-5v-6H9v6H4z',
  list: 'M4 6h3v3H4zM9 6.500h11v2H9zM4 11h3v3H4zM9 11.500h11v2H9zM4 16h3v3H4zM9 16.500h11v2H9z',
  close: 'M6 4.600L4.600 6l6 6-6 6L6 19.400l6-6 6 6 1.400-1.400-6-6 6-6L18 4.600l-6 6z',
} as const;

export function button(
  test: string,
  label: string,
  content: Node | string,
  onClick: () => void,
  extra: Attributes = {},
): HTMLButtonElement {
  const element = h(
    'button',
    { type: 'button', 'data-test': test, 'aria-label': label, title: label, ...extra },
    content,
  );
  element.addEventListener('click', onClick);
  return element;
}

/** A sentence in which what stands between back quotes is something to type. */
export function prose(text: string): Child[] {
  return text.split('`').map((part, index) => (index % 2 === 1 ? h('code', {}, part) : part));
}

/** Sets text only where it changed, so that nothing is laid out or announced in vain. */
export function setText(element: Element, text: string): void {
  if (element.textContent !== text) element.textContent = text;
}
