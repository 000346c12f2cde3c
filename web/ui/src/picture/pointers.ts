/** Mouse, pen and fingers on the picture: drag, wheel, pinch, press, press twice. */

import type { RefObject } from "preact";
import { useEffect, useRef } from "preact/hooks";
import type { TreeNode } from "../lib/tree";
import type { Painter } from "./painter";

interface Actions {
  readonly choose: (node: TreeNode, chip: boolean) => void;
  readonly act: (node: TreeNode) => void;
}

const STILL = 5; // a press that moves less is no drag

export function usePointers(canvas: RefObject<HTMLCanvasElement | null>, painter: Painter | null, actions: Actions): void {
  const latest = useRef(actions);
  latest.current = actions;
  useEffect(() => {
    const element = canvas.current;
    if (!element || !painter) return;
    const down = new Map<number, { x: number; y: number }>();
    let travelled = 0;

    const place = (event: MouseEvent): { x: number; y: number } => {
      const box = element.getBoundingClientRect();
      return { x: event.clientX - box.left, y: event.clientY - box.top };
    };
    const onDown = (event: PointerEvent): void => {
      if (event.button !== 0) return;
      element.setPointerCapture(event.pointerId);
      if (down.size === 0) travelled = 0;
      down.set(event.pointerId, place(event));
    };
    const onMove = (event: PointerEvent): void => {
      const now = place(event);
      const before = down.get(event.pointerId);
      if (!before) {
        const found = painter.hit(now.x, now.y);
        const key = found?.node.key ?? null;
        element.style.cursor = found ? "pointer" : "grab";
        if (key !== painter.hovered) {
          painter.hovered = key;
          painter.redraw();
        }
        return;
      }
      travelled += Math.hypot(now.x - before.x, now.y - before.y);
      const other = [...down].find(([id]) => id !== event.pointerId)?.[1];
      if (other) {
        const spread = Math.hypot(now.x - other.x, now.y - other.y) / Math.max(1, Math.hypot(before.x - other.x, before.y - other.y));
        painter.zoom(spread, (now.x + other.x) / 2, (now.y + other.y) / 2);
        painter.pan((now.x - before.x) / 2, (now.y - before.y) / 2);
      } else if (travelled > STILL) {
        element.style.cursor = "grabbing";
        painter.pan(now.x - before.x, now.y - before.y);
      }
      down.set(event.pointerId, now);
    };
    const onUp = (event: PointerEvent): void => {
      if (!down.delete(event.pointerId)) return;
      element.style.cursor = "grab";
      if (event.type === "pointercancel" || travelled > STILL || down.size > 0) return;
      const { x, y } = place(event);
      const found = painter.hit(x, y);
      if (found) latest.current.choose(found.node, found.chip);
    };
    const onDouble = (event: MouseEvent): void => {
      const { x, y } = place(event);
      const found = painter.hit(x, y);
      if (found && !found.chip) latest.current.act(found.node);
    };
    const onWheel = (event: WheelEvent): void => {
      event.preventDefault();
      const { x, y } = place(event);
      const lines = event.deltaMode === WheelEvent.DOM_DELTA_LINE ? 16 : 1;
      painter.zoom(Math.exp(-Math.max(-240, Math.min(240, event.deltaY * lines)) * 0.0022), x, y);
    };

    element.addEventListener("pointerdown", onDown);
    element.addEventListener("pointermove", onMove);
    element.addEventListener("pointerup", onUp);
    element.addEventListener("pointercancel", onUp);
    element.addEventListener("dblclick", onDouble);
    element.addEventListener("wheel", onWheel, { passive: false });
    return () => {
      element.removeEventListener("pointerdown", onDown);
      element.removeEventListener("pointermove", onMove);
      element.removeEventListener("pointerup", onUp);
      element.removeEventListener("pointercancel", onUp);
      element.removeEventListener("dblclick", onDouble);
      element.removeEventListener("wheel", onWheel);
    };
  }, [painter]);
}
