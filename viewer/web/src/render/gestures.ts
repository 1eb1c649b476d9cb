/** Mouse, wheel and touch on the canvas, told as what the person means. */

export interface GestureListener {
  /** A hand is laid on: whatever moves by itself stops. */
  press(): void;
  orbit(dx_px: number, dy_px: number): void;
  pan(dx_px: number, dy_px: number): void;
  /** factor < 1 comes nearer; the point is in CSS pixels from the canvas's top left */
  zoom(factor: number, x: number, y: number): void;
  hover(x: number, y: number): void;
  leave(): void;
  click(x: number, y: number): void;
  doubleClick(x: number, y: number): void;
}

interface Pointer {
  x: number;
  y: number;
}

/** Less movement than this between press and release is a click. */
const CLICK_px = 5;
const WHEEL_STEP = 0.0016;

/** Returns the way to stop listening. */
export function listenToGestures(canvas: HTMLCanvasElement, listener: GestureListener): () => void {
  const pointers = new Map<number, Pointer>();
  const stop = new AbortController();
  const options = { signal: stop.signal };
  let travelled = 0;
  let pans = false;
  let lastTap_ms = 0;

  const place = (event: MouseEvent): Pointer => {
    const box = canvas.getBoundingClientRect();
    return { x: event.clientX - box.left, y: event.clientY - box.top };
  };

  canvas.addEventListener(
    'pointerdown',
    (event) => {
      canvas.setPointerCapture(event.pointerId);
      pointers.set(event.pointerId, place(event));
      if (pointers.size === 1) travelled = 0;
      listener.press();
      pans = event.button !== 0 || event.shiftKey;
    },
    options,
  );

  canvas.addEventListener(
    'pointermove',
    (event) => {
      const now = place(event);
      const before = pointers.get(event.pointerId);
      if (!before) {
        listener.hover(now.x, now.y);
        return;
      }
      const [dx, dy] = [now.x - before.x, now.y - before.y];
      travelled += Math.abs(dx) + Math.abs(dy);
      if (pointers.size === 1) {
        if (travelled <= CLICK_px) listener.hover(now.x, now.y);
        else if (pans) listener.pan(dx, dy);
        else listener.orbit(dx, dy);
      } else {
        pinch(pointers, event.pointerId, now, listener);
      }
      pointers.set(event.pointerId, now);
    },
    options,
  );

  const release = (event: PointerEvent) => {
    const wasAlone = pointers.size === 1;
    pointers.delete(event.pointerId);
    if (!wasAlone || travelled > CLICK_px || event.type === 'pointercancel' || event.button !== 0) return;
    const at = place(event);
    const now_ms = event.timeStamp;
    if (now_ms - lastTap_ms < 350) listener.doubleClick(at.x, at.y);
    else listener.click(at.x, at.y);
    lastTap_ms = now_ms;
  };
  canvas.addEventListener('pointerup', release, options);
  canvas.addEventListener('pointercancel', release, options);
  canvas.addEventListener('pointerleave', () => listener.leave(), options);
  canvas.addEventListener('contextmenu', (event) => event.preventDefault(), options);
  canvas.addEventListener(
    'wheel',
    (event) => {
      event.preventDefault();
      const at = place(event);
      const lines = event.deltaMode === WheelEvent.DOM_DELTA_LINE ? 16 : 1;
      // A trackpad's pinch comes as a wheel with the control key, in small steps.
      const step = WHEEL_STEP * lines * (event.ctrlKey ? 5 : 1);
      listener.zoom(Math.exp(Math.min(Math.max(event.deltaY * step, -0.6), 0.6)), at.x, at.y);
    },
    { ...options, passive: false },
  );
  return () => stop.abort();
}

/** Two fingers: their distance zooms, their middle pans. */
function pinch(pointers: Map<number, Pointer>, moved: number, now: Pointer, listener: GestureListener): void {
  const other = [...pointers].find(([id]) => id !== moved)?.[1];
  const before = pointers.get(moved)!;
  if (!other) return;
  const spread = (a: Pointer, b: Pointer) => Math.max(Math.hypot(a.x - b.x, a.y - b.y), 1);
  const middle = { x: (now.x + other.x) / 2, y: (now.y + other.y) / 2 };
  listener.pan((now.x - before.x) / 2, (now.y - before.y) / 2);
  listener.zoom(spread(before, other) / spread(now, other), middle.x, middle.y);
}
