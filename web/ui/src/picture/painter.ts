/** The picture apart from its element: layout, movement, and when to draw. */

import { CARD, columns, rings, type Layout, type LayoutKind, type Place } from "../lib/layout";
import type { Tree, TreeNode } from "../lib/tree";
import { Camera } from "./camera";
import { CHIP, draw, hasChip, radiusOf } from "./draw";
import { paletteOf, type Palette } from "./palette";

const MOVE_MS = 260;
const FLASH_MS = 2200;
const MOST_MOVING = 600;

interface Move {
  readonly from: { x: number; y: number; k: number };
  readonly to: { x: number; y: number; k: number };
  readonly start: number;
}

export class Painter {
  readonly camera = new Camera();
  layout: Layout<TreeNode> | null = null;
  nodes: TreeNode[] = [];
  selected = "";
  focused = false;
  hovered: string | null = null;
  /** Told after each drawing. */
  onDrawn: () => void = () => undefined;

  #tree: Tree | null = null;
  #from = new Map<string, Place>();
  #movedAt = 0;
  #camera: Move | null = null;
  #flashes = new Map<string, number>();
  #frame = 0;
  #palette: Palette;
  #calm = matchMedia("(prefers-reduced-motion: reduce)");

  constructor(private readonly canvas: HTMLCanvasElement) {
    this.#palette = paletteOf(canvas);
  }

  show(tree: Tree, kind: LayoutKind): void {
    const same = tree === this.#tree && this.layout?.kind === kind;
    const now = performance.now();
    const before = new Map(same ? this.nodes.map((node) => [node.key, this.at(node)]) : []);
    this.#tree = tree;
    this.nodes = tree.visible();
    this.layout = (kind === "columns" ? columns : rings)(tree.root, tree.childrenOf);
    this.#from.clear();
    if (same && this.nodes.length <= MOST_MOVING && !this.#calm.matches) {
      // What is new grows out of the nearest node that was there.
      for (const node of this.nodes) {
        let origin: TreeNode | null = node;
        while (origin && !before.has(origin.key)) origin = origin.parent;
        if (origin) this.#from.set(node.key, before.get(origin.key)!);
      }
      this.#movedAt = now;
    }
    this.redraw();
  }

  at = (node: TreeNode): Place => {
    const to = this.layout!.places.get(node)!;
    const from = this.#from.get(node.key);
    if (!from) return to;
    const t = ease((performance.now() - this.#movedAt) / MOVE_MS);
    return { x: from.x + (to.x - from.x) * t, y: from.y + (to.y - from.y) * t, angle: to.angle };
  };

  resize(width: number, height: number): void {
    const ratio = devicePixelRatio;
    this.canvas.width = Math.round(width * ratio);
    this.canvas.height = Math.round(height * ratio);
    this.camera.width = width;
    this.camera.height = height;
    this.redraw();
  }

  recolour(): void {
    this.#palette = paletteOf(this.canvas);
    this.redraw();
  }

  flash(key: string): void {
    this.#flashes.set(key, performance.now());
    this.redraw();
  }

  fit(animated: boolean): void {
    if (!this.layout) return;
    this.#moveTo(this.camera.fitted(this.layout.bounds, 1.15), animated);
  }

  /** As much as makes it readable; a small tree whole, of a large one its beginning. */
  frameStart(): void {
    if (!this.layout) return;
    const whole = this.camera.fitted(this.layout.bounds, 1.15);
    if (this.layout.kind === "rings" || whole.k >= 0.62) return this.#moveTo(whole, false);
    const root = this.layout.places.get(this.nodes[0]!)!;
    const k = 0.8;
    this.#moveTo({ x: root.x - CARD.width / 2 - 24 + this.camera.width / 2 / k, y: root.y, k }, false);
  }

  zoom(factor: number, x?: number, y?: number): void {
    this.#camera = null;
    this.camera.zoom(factor, x, y);
    this.redraw();
  }

  pan(dx: number, dy: number): void {
    this.#camera = null;
    this.camera.pan(dx, dy);
    this.redraw();
  }

  /** Move as little as brings the node into sight. */
  bringIntoSight(node: TreeNode): void {
    const place = this.layout?.places.get(node);
    if (!place) return;
    const half = (this.layout!.kind === "columns" ? CARD.width / 2 : 40) * this.camera.k + 12;
    const [x, y] = this.camera.toScreen(place.x, place.y);
    const { width, height } = this.camera;
    const dx = x < half ? half - x : x > width - half ? width - half - x : 0;
    const dy = y < 50 ? 50 - y : y > height - 60 ? height - 60 - y : 0;
    if (dx || dy) {
      this.#moveTo({ x: this.camera.x - dx / this.camera.k, y: this.camera.y - dy / this.camera.k, k: this.camera.k }, true);
    }
  }

  /** What lies at a point of the picture, and whether it is the node's own button. */
  hit(x: number, y: number): { node: TreeNode; chip: boolean } | null {
    if (!this.layout || !this.#tree) return null;
    const [wx, wy] = this.camera.toWorld(x, y);
    const slack = 4 / this.camera.k;
    for (let index = this.nodes.length - 1; index >= 0; index--) {
      const node = this.nodes[index]!;
      const place = this.at(node);
      if (this.layout.kind === "columns") {
        const edge = place.x + CARD.width / 2;
        if (hasChip(this.#tree, node) && Math.hypot(wx - edge, wy - place.y) <= CHIP + slack) return { node, chip: true };
        if (Math.abs(wx - place.x) <= CARD.width / 2 && Math.abs(wy - place.y) <= CARD.height / 2) return { node, chip: false };
      } else if (Math.hypot(wx - place.x, wy - place.y) <= radiusOf(node) * 1.3 + slack) return { node, chip: false };
    }
    return null;
  }

  redraw(): void {
    this.#frame ||= requestAnimationFrame(() => this.#paint());
  }

  stop(): void {
    cancelAnimationFrame(this.#frame);
  }

  #moveTo(to: { x: number; y: number; k: number }, animated: boolean): void {
    const { x, y, k } = this.camera;
    if (animated && !this.#calm.matches) this.#camera = { from: { x, y, k }, to, start: performance.now() };
    else {
      this.#camera = null;
      Object.assign(this.camera, to);
    }
    this.redraw();
  }

  #paint(): void {
    this.#frame = 0;
    const context = this.canvas.getContext("2d");
    if (!context || !this.#tree || !this.layout) return;
    const now = performance.now();
    let busy = false;
    if (this.#camera) {
      const { from, to, start } = this.#camera;
      const t = ease((now - start) / MOVE_MS);
      this.camera.x = from.x + (to.x - from.x) * t;
      this.camera.y = from.y + (to.y - from.y) * t;
      this.camera.k = from.k + (to.k - from.k) * t;
      if (t >= 1) this.#camera = null;
      busy = true;
    }
    if (this.#from.size > 0) {
      if (now - this.#movedAt >= MOVE_MS) this.#from.clear();
      busy = true;
    }
    for (const [key, start] of this.#flashes) if (now - start > FLASH_MS) this.#flashes.delete(key);
    busy ||= this.#flashes.size > 0;
    draw(context, devicePixelRatio, this.camera, {
      tree: this.#tree,
      nodes: this.nodes,
      kind: this.layout.kind,
      at: this.at,
      selected: this.selected,
      focused: this.focused,
      hovered: this.hovered,
      flash: (node) => {
        const start = this.#flashes.get(node.key);
        return start === undefined ? 0 : Math.max(0, 1 - (now - start) / FLASH_MS);
      },
    }, this.#palette);
    this.#tellFlashing();
    this.onDrawn();
    if (busy) this.redraw();
  }

  /** Whose flash this frame shows, by id, on the canvas itself, whose pixels nobody else can ask. */
  #tellFlashing(): void {
    const ids = this.#flashes.size > 0 ? this.nodes.filter((node) => this.#flashes.has(node.key)).map((node) => node.entity.id) : [];
    const told = [...new Set(ids)].join(" ");
    if (told !== (this.canvas.dataset.flashing ?? "")) this.canvas.dataset.flashing = told;
  }
}

const ease = (t: number): number => (t >= 1 ? 1 : 1 - (1 - Math.max(0, t)) ** 3);
