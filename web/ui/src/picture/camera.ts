/** What part of the world the picture shows. */

import type { Bounds } from "../lib/layout";

const NEAREST = 2.5;
const FARTHEST = 0.02;

export class Camera {
  /** The world's point in the middle of the picture, and pixels for each of its units. */
  x = 0;
  y = 0;
  k = 1;
  width = 1;
  height = 1;

  toScreen(x: number, y: number): [number, number] {
    return [(x - this.x) * this.k + this.width / 2, (y - this.y) * this.k + this.height / 2];
  }

  toWorld(x: number, y: number): [number, number] {
    return [(x - this.width / 2) / this.k + this.x, (y - this.height / 2) / this.k + this.y];
  }

  pan(dx: number, dy: number): void {
    this.x -= dx / this.k;
    this.y -= dy / this.k;
  }

  /** The world's point under the pointer stays there. */
  zoom(factor: number, x = this.width / 2, y = this.height / 2): void {
    const [wx, wy] = this.toWorld(x, y);
    this.k = Math.min(NEAREST, Math.max(FARTHEST, this.k * factor));
    this.x = wx - (x - this.width / 2) / this.k;
    this.y = wy - (y - this.height / 2) / this.k;
  }

  /** Where all is seen, clear of the tools that lie over the picture. */
  fitted(bounds: Bounds, nearest: number): { x: number; y: number; k: number } {
    const width = Math.max(bounds.right - bounds.left, 1);
    const height = Math.max(bounds.bottom - bounds.top, 1);
    const aside = Math.min(28, this.width / 8);
    const above = Math.min(62, this.height / 6);
    const k = Math.min((this.width - 2 * aside) / width, (this.height - 2 * above) / height, nearest);
    return {
      x: (bounds.left + bounds.right) / 2,
      y: (bounds.top + bounds.bottom) / 2,
      k: Math.max(FARTHEST, k),
    };
  }

  /** What is seen, in the world, with a margin around. */
  seen(margin: number): Bounds {
    const [left, top] = this.toWorld(0, 0);
    const [right, bottom] = this.toWorld(this.width, this.height);
    return { left: left - margin, top: top - margin, right: right + margin, bottom: bottom + margin };
  }
}
