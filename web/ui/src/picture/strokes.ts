/** The canvas's own vocabulary: the shapes of entity types, round boxes, and texts that fit their space. */

import { CORNERS, kindOf } from "../lib/kinds";
import type { TreeNode } from "../lib/tree";
import type { Camera } from "./camera";
import type { Palette } from "./palette";

export function shape(context: CanvasRenderingContext2D, node: TreeNode, x: number, y: number, size: number): void {
  const corners = CORNERS[kindOf(node.entity.type).shape];
  if (!corners) {
    context.moveTo(x + size, y);
    context.arc(x, y, size, 0, 2 * Math.PI);
    return;
  }
  corners.forEach(([cx, cy], index) => {
    if (index) context.lineTo(x + cx * size, y + cy * size);
    else context.moveTo(x + cx * size, y + cy * size);
  });
  context.closePath();
}

export function box(context: CanvasRenderingContext2D, x: number, y: number, width: number, height: number, radius: number): void {
  context.beginPath();
  context.roundRect(x, y, width, height, radius);
}

const cut = new Map<string, string>();

/** Drop the texts that were measured: somebody's name may be among them. */
export const forgetTexts = (): void => cut.clear();

export function short(context: CanvasRenderingContext2D, text: string, space: number): string {
  const id = `${context.font}|${space}|${text}`;
  const known = cut.get(id);
  if (known !== undefined) return known;
  let shown = text.slice(0, 200);
  if (context.measureText(shown).width > space) {
    let low = 0;
    let high = shown.length;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (context.measureText(`${shown.slice(0, middle)}…`).width <= space) low = middle;
      else high = middle - 1;
    }
    shown = `${shown.slice(0, low)}…`;
  }
  if (cut.size > 20_000) cut.clear();
  cut.set(id, shown);
  return shown;
}

export function sign(context: CanvasRenderingContext2D, text: string, x: number, y: number, colour: string, palette: Palette): void {
  context.font = `600 12px ${palette.font}`;
  context.textAlign = "center";
  context.textBaseline = "middle";
  context.fillStyle = colour;
  context.fillText(text, x, y + 0.5);
}

/** Around a flash: on a light ground its colour alone is hardly seen. */
export function rim(context: CanvasRenderingContext2D, camera: Camera, palette: Palette): void {
  context.lineWidth = Math.max(2, 1.2 / camera.k);
  context.strokeStyle = palette.warn;
  context.stroke();
}
