/** Draws the tree on a canvas. What is out of sight or too small to read is left out. */

import { kindOf } from "../lib/kinds";
import { CARD, type LayoutKind, type Place } from "../lib/layout";
import { canLoad, isRepeated, leftOut, nameIn, type Tree, type TreeNode } from "../lib/tree";
import type { Camera } from "./camera";
import type { Palette } from "./palette";
import { box, rim, shape, short, sign } from "./strokes";

export interface Scene {
  readonly tree: Tree;
  readonly nodes: readonly TreeNode[];
  readonly kind: LayoutKind;
  readonly at: (node: TreeNode) => Place;
  readonly selected: string;
  readonly focused: boolean;
  readonly hovered: string | null;
  /** From 1, just changed, to 0. */
  readonly flash: (node: TreeNode) => number;
}

const READABLE = 0.5; // pixels for each unit
const SPOT = 11;
const ROOT_SPOT = 17;
export const CHIP = 11;

export const radiusOf = (node: TreeNode): number => (node.parent ? SPOT : ROOT_SPOT);
export const hasChip = (tree: Tree, node: TreeNode): boolean => node.children.length > 0 || canLoad(tree, node);

export function draw(context: CanvasRenderingContext2D, ratio: number, camera: Camera, scene: Scene, palette: Palette): void {
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, camera.width, camera.height);
  grid(context, camera, palette);
  context.translate(camera.width / 2, camera.height / 2);
  context.scale(camera.k, camera.k);
  context.translate(-camera.x, -camera.y);

  const seen = camera.seen(scene.kind === "columns" ? CARD.width : 220);
  const inSight = scene.nodes.filter((node) => {
    const { x, y } = scene.at(node);
    return x > seen.left && x < seen.right && y > seen.top && y < seen.bottom;
  });
  links(context, camera, scene, palette);
  const readable = camera.k >= READABLE;
  if (scene.kind === "columns" && readable) {
    relations(context, scene, inSight, palette);
    for (const node of inSight) card(context, camera, scene, node, palette);
  } else {
    spots(context, camera, scene, inSight, palette);
    if (scene.kind === "rings" && readable) for (const node of inSight) label(context, scene, node, palette);
  }
}

function grid(context: CanvasRenderingContext2D, camera: Camera, palette: Palette): void {
  let step = 40 * camera.k;
  while (step < 22) step *= 2;
  const [ox, oy] = camera.toScreen(0, 0);
  context.fillStyle = palette.line;
  context.beginPath();
  for (let x = ((ox % step) + step) % step; x < camera.width; x += step) {
    for (let y = ((oy % step) + step) % step; y < camera.height; y += step) context.rect(x, y, 1, 1);
  }
  context.fill();
}

function links(context: CanvasRenderingContext2D, camera: Camera, scene: Scene, palette: Palette): void {
  const onPath = new Set<TreeNode>();
  for (const node of scene.nodes) {
    if (node.key === scene.selected) for (let above: TreeNode | null = node; above; above = above.parent) onPath.add(above);
  }
  const seen = camera.seen(40);
  const trace = (node: TreeNode): void => {
    const from = scene.at(node.parent!);
    const to = scene.at(node);
    if (Math.max(from.x, to.x) < seen.left || Math.min(from.x, to.x) > seen.right) return;
    if (Math.max(from.y, to.y) < seen.top || Math.min(from.y, to.y) > seen.bottom) return;
    if (scene.kind === "columns") {
      const start = from.x + CARD.width / 2;
      const end = to.x - CARD.width / 2;
      const middle = start + (end - start) * 0.4;
      context.moveTo(start, from.y);
      context.bezierCurveTo(middle, from.y, start + (end - start) * 0.3, to.y, end - 30, to.y);
      context.lineTo(end, to.y);
    } else {
      const reach = Math.hypot(to.x, to.y);
      const inner = Math.hypot(from.x, from.y);
      const half = inner + (reach - inner) * 0.55;
      const turn = inner > 0 ? from.angle : to.angle;
      context.moveTo(from.x, from.y);
      context.bezierCurveTo(
        Math.cos(turn) * half, Math.sin(turn) * half,
        Math.cos(to.angle) * half, Math.sin(to.angle) * half,
        to.x, to.y,
      );
    }
  };
  // Many lines far away would be a grey disc.
  context.lineWidth = scene.nodes.length > 400 && camera.k < READABLE ? 0.3 / camera.k : Math.max(1.4, 0.8 / camera.k);
  context.strokeStyle = palette.edge;
  context.beginPath();
  for (const node of scene.nodes) if (node.parent && !onPath.has(node)) trace(node);
  context.stroke();
  context.strokeStyle = palette.accent;
  context.lineWidth = Math.max(2.2, 1.4 / camera.k);
  context.beginPath();
  for (const node of onPath) if (node.parent) trace(node);
  context.stroke();
}

function relations(context: CanvasRenderingContext2D, scene: Scene, nodes: readonly TreeNode[], palette: Palette): void {
  context.font = `500 10.5px ${palette.font}`;
  context.textAlign = "right";
  context.textBaseline = "alphabetic";
  context.fillStyle = palette.muted;
  context.strokeStyle = palette.ground;
  context.lineWidth = 3;
  context.lineJoin = "round";
  for (const node of nodes) {
    if (!node.relation) continue;
    const { x, y } = scene.at(node);
    const text = short(context, node.relation, 92);
    context.strokeText(text, x - CARD.width / 2 - 8, y - 6); // the links of a fan run through it
    context.fillText(text, x - CARD.width / 2 - 8, y - 6);
  }
}

function card(context: CanvasRenderingContext2D, camera: Camera, scene: Scene, node: TreeNode, palette: Palette): void {
  const { x, y } = scene.at(node);
  const left = x - CARD.width / 2;
  const top = y - CARD.height / 2;
  const selected = node.key === scene.selected;
  const repeated = isRepeated(scene.tree, node);
  const { erased } = node.entity;
  const hollow = repeated || erased;
  const kind = kindOf(node.entity.type);
  const flash = scene.flash(node);
  if (flash > 0) {
    context.globalAlpha = flash;
    context.fillStyle = palette.flash;
    const grown = 4 + 10 * (1 - flash);
    box(context, left - grown, top - grown, CARD.width + 2 * grown, CARD.height + 2 * grown, 12 + grown);
    context.fill();
    rim(context, camera, palette);
    context.globalAlpha = 1;
  }
  if (selected && scene.focused) {
    context.strokeStyle = palette.accent;
    context.globalAlpha = 0.35;
    context.lineWidth = 3;
    box(context, left - 4, top - 4, CARD.width + 8, CARD.height + 8, 14);
    context.stroke();
    context.globalAlpha = 1;
  }
  box(context, left, top, CARD.width, CARD.height, 10);
  context.fillStyle = hollow ? palette.ground : palette.surface;
  context.fill();
  context.setLineDash(hollow ? [5, 4] : []);
  context.lineWidth = selected ? 2 : 1.2;
  context.strokeStyle = selected ? palette.accent : node.key === scene.hovered ? palette.muted : palette.edge;
  context.stroke();
  context.setLineDash([]);

  context.fillStyle = context.strokeStyle = palette.kinds[kind.colour]!;
  context.lineWidth = 1.6;
  context.beginPath();
  shape(context, node, left + 21, y, 8.5);
  if (hollow) context.stroke();
  else context.fill();

  context.textAlign = "left";
  context.textBaseline = "alphabetic";
  const space = CARD.width - 40 - (hasChip(scene.tree, node) || hollow || leftOut(node) > 0 ? 26 : 12);
  const name = nameIn(scene.tree, node);
  context.font = `600 13px ${palette.font}`;
  context.fillStyle = hollow ? palette.muted : palette.ink;
  context.fillText(short(context, name, space), left + 40, y - 3);
  context.font = `400 11px ${palette.font}`;
  context.fillStyle = palette.muted;
  const below = erased || name === node.entity.reference ? node.entity.type : `${node.entity.type} · ${node.entity.reference}`;
  context.fillText(short(context, below, space), left + 40, y + 13);
  if (erased) sign(context, "×", left + CARD.width - 16, y, palette.bad, palette);
  else if (repeated) sign(context, "↺", left + CARD.width - 16, y, palette.muted, palette);
  chip(context, scene, node, left + CARD.width, y, palette);
}

/** At its edge, how many are below: to collapse, to expand, or to load. */
function chip(context: CanvasRenderingContext2D, scene: Scene, node: TreeNode, x: number, y: number, palette: Palette): void {
  if (!hasChip(scene.tree, node)) return;
  const collapsed = scene.tree.isCollapsed(node);
  const loadable = canLoad(scene.tree, node);
  const text = collapsed ? String(node.children.length) : node.children.length > 0 && !loadable ? "−" : "+";
  context.font = `600 11px ${palette.font}`;
  const width = Math.max(2 * CHIP, context.measureText(text).width + 12);
  box(context, x - width / 2, y - CHIP, width, 2 * CHIP, CHIP);
  const warn = leftOut(node) > 0;
  context.fillStyle = collapsed ? palette.accent : palette.surface;
  context.fill();
  context.lineWidth = 1.2;
  context.strokeStyle = warn ? palette.warn : loadable || collapsed ? palette.accent : palette.edge;
  context.setLineDash(loadable ? [3, 2] : []);
  context.stroke();
  context.setLineDash([]);
  sign(context, text, x, y, collapsed ? palette.surface : warn ? palette.warn : loadable ? palette.accent : palette.muted, palette);
}

function spots(context: CanvasRenderingContext2D, camera: Camera, scene: Scene, nodes: readonly TreeNode[], palette: Palette): void {
  // Far away they shrink less than the world does, so that they can be told apart.
  const least = scene.kind === "columns" ? Math.min(2.4 / camera.k, 26) : Math.min(1.6 / camera.k, 15);
  const byKind = new Map<string, { colour: string; nodes: TreeNode[] }>();
  for (const node of nodes) {
    const colour = palette.kinds[kindOf(node.entity.type).colour]!;
    const id = `${colour}${node.entity.erased || isRepeated(scene.tree, node) ? "hollow" : ""}`;
    const group = byKind.get(id) ?? { colour, nodes: [] };
    group.nodes.push(node);
    byKind.set(id, group);
  }
  for (const node of nodes) {
    const flash = scene.flash(node);
    if (flash <= 0) continue;
    const { x, y } = scene.at(node);
    context.globalAlpha = flash;
    context.fillStyle = palette.flash;
    context.beginPath();
    context.arc(x, y, Math.max(radiusOf(node), least) * (2.2 + (1 - flash)), 0, 2 * Math.PI);
    context.fill();
    rim(context, camera, palette);
    context.globalAlpha = 1;
  }
  for (const [id, group] of byKind) {
    context.beginPath();
    for (const node of group.nodes) {
      const { x, y } = scene.at(node);
      shape(context, node, x, y, Math.max(radiusOf(node), least));
    }
    if (id.endsWith("hollow")) {
      context.fillStyle = palette.ground;
      context.fill();
      context.lineWidth = Math.max(1.5, 0.8 / camera.k);
      context.setLineDash([4, 3]);
      context.strokeStyle = group.colour;
      context.stroke();
      context.setLineDash([]);
    } else {
      context.fillStyle = group.colour;
      context.fill();
    }
  }
  for (const node of nodes) {
    const { x, y } = scene.at(node);
    const radius = Math.max(radiusOf(node), least);
    const selected = node.key === scene.selected;
    if (selected || node.key === scene.hovered) {
      context.lineWidth = Math.max(2.5, 1.6 / camera.k);
      context.strokeStyle = selected ? palette.accent : palette.muted;
      context.beginPath();
      context.arc(x, y, radius * 1.5 + 2, 0, 2 * Math.PI);
      context.stroke();
    }
    if (camera.k < READABLE) continue;
    if (node.entity.erased) sign(context, "×", x, y, palette.bad, palette);
    const collapsed = scene.tree.isCollapsed(node);
    if (collapsed || canLoad(scene.tree, node)) {
      context.fillStyle = leftOut(node) > 0 ? palette.warn : palette.accent;
      context.beginPath();
      context.arc(x + radius * 0.85, y - radius * 0.85, 5.5, 0, 2 * Math.PI);
      context.fill();
      sign(context, "+", x + radius * 0.85, y - radius * 0.85, palette.surface, palette);
    }
  }
}

function label(context: CanvasRenderingContext2D, scene: Scene, node: TreeNode, palette: Palette): void {
  const { x, y, angle } = scene.at(node);
  const text = nameIn(scene.tree, node);
  const strong = !node.parent || node.key === scene.selected;
  context.font = `${strong ? 600 : 400} ${node.parent ? 11 : 13}px ${palette.font}`;
  context.lineWidth = 4;
  context.lineJoin = "round";
  context.strokeStyle = palette.ground;
  context.fillStyle = node.entity.erased || isRepeated(scene.tree, node) ? palette.muted : palette.ink;
  context.save();
  context.translate(x, y);
  if (node.parent && scene.tree.childrenOf(node).length === 0) {
    // Outward, and never upside down.
    const flipped = Math.cos(angle) < 0;
    context.rotate(flipped ? angle + Math.PI : angle);
    context.textAlign = flipped ? "right" : "left";
    context.textBaseline = "middle";
    context.translate(flipped ? -18 : 18, 0);
  } else {
    context.textAlign = "center";
    context.textBaseline = "top";
    context.translate(0, radiusOf(node) + 7);
  }
  const shown = short(context, text, 140);
  context.strokeText(shown, 0, 0);
  context.fillText(shown, 0, 0);
  context.restore();
}
