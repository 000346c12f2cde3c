/** The tree as an interactive picture: a canvas to the eye, a tree to the keyboard and to screen readers. */

import { useEffect, useRef, useState } from "preact/hooks";
import { displayName } from "../lib/entity";
import { CARD, type LayoutKind } from "../lib/layout";
import { canLoad, isRepeated, leftOut, nameIn, type Tree, type TreeNode } from "../lib/tree";
import { useWords } from "../words";
import { Painter } from "./painter";
import { usePointers } from "./pointers";
import { PictureTools } from "./tools";

interface Props {
  readonly tree: Tree;
  /** Rises with each change within the tree. */
  readonly version: number;
  readonly selected: TreeNode;
  readonly flashing: { readonly keys: readonly string[]; readonly count: number };
  readonly busy: boolean;
  readonly onSelect: (node: TreeNode) => void;
  readonly onToggle: (node: TreeNode) => void;
  readonly onLoad: (node: TreeNode) => void;
  readonly onCollapseAll: (collapsed: boolean) => void;
}

const CROWDED = 60;

export function Picture({ tree, version, selected, flashing, busy, onSelect, onToggle, onLoad, onCollapseAll }: Props) {
  const { t } = useWords();
  const frame = useRef<HTMLDivElement>(null);
  const canvas = useRef<HTMLCanvasElement>(null);
  const item = useRef<HTMLDivElement>(null);
  const [painter, setPainter] = useState<Painter | null>(null);
  const [chosen, setChosen] = useState<LayoutKind | null>(null);
  const [layout, setLayout] = useState<LayoutKind>("columns");
  const shown = useRef<Tree | null>(null);

  useEffect(() => {
    const made = new Painter(canvas.current!);
    const follow = new ResizeObserver(([entry]) => {
      const { width, height } = entry!.contentRect;
      made.resize(width, height);
    });
    const { width, height } = frame.current!.getBoundingClientRect();
    made.resize(width, height);
    follow.observe(frame.current!);
    const recolour = () => made.recolour();
    const dark = matchMedia("(prefers-color-scheme: dark)");
    dark.addEventListener("change", recolour);
    const theme = new MutationObserver(recolour);
    theme.observe(document.documentElement, { attributeFilter: ["data-theme"] });
    setPainter(made);
    return () => {
      made.stop();
      follow.disconnect();
      theme.disconnect();
      dark.removeEventListener("change", recolour);
    };
  }, []);

  // A new tree gets the layout that suits its size; what somebody chose stays.
  useEffect(() => {
    if (!painter) return;
    const fresh = shown.current !== tree;
    const kind = chosen ?? (fresh ? (tree.visible().length > CROWDED ? "rings" : "columns") : layout);
    const turned = kind !== painter.layout?.kind;
    setLayout(kind);
    painter.selected = selected.key;
    painter.onDrawn = () => cover(painter, item.current, painter.selected);
    painter.show(tree, kind);
    if (fresh || turned) painter.frameStart();
    shown.current = tree;
  }, [painter, tree, version, chosen]);

  useEffect(() => {
    if (!painter) return;
    painter.selected = selected.key;
    painter.bringIntoSight(selected);
    painter.redraw();
  }, [painter, selected, version]);

  useEffect(() => {
    if (painter) for (const key of flashing.keys) painter.flash(key);
  }, [painter, flashing.count]);

  const act = (node: TreeNode): void => {
    if (isRepeated(tree, node)) return jump(node);
    if (canLoad(tree, node)) onLoad(node);
    else if (node.children.length > 0) onToggle(node);
  };
  const jump = (node: TreeNode): void => {
    const full = tree.full.get(node.entity.id);
    if (full) onSelect(full);
  };

  usePointers(canvas, painter, {
    choose: (node, chip) => {
      frame.current?.focus({ preventScroll: true });
      onSelect(node);
      if (chip) {
        if (canLoad(tree, node)) onLoad(node);
        else onToggle(node);
      }
    },
    act,
  });

  const onKeyDown = (event: KeyboardEvent): void => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target !== frame.current) return;
    const nodes = tree.visible(); // the painter hears of a change only when the browser has time to draw
    const index = nodes.findIndex((node) => node.key === selected.key);
    const go = (node: TreeNode | undefined): void => node && onSelect(node);
    const keys: Record<string, () => void> = {
      ArrowDown: () => go(nodes[index + 1]),
      ArrowUp: () => go(nodes[index - 1]),
      ArrowLeft: () => {
        if (selected.children.length > 0 && !tree.isCollapsed(selected)) onToggle(selected);
        else if (selected.parent) onSelect(selected.parent);
      },
      ArrowRight: () => {
        if (tree.isCollapsed(selected)) onToggle(selected);
        else if (selected.children.length > 0) go(selected.children[0]);
        else if (canLoad(tree, selected)) onLoad(selected);
      },
      Enter: () => act(selected),
      " ": () => act(selected),
      Home: () => go(nodes[0]),
      End: () => go(nodes[nodes.length - 1]),
      "+": () => painter?.zoom(1.25),
      "=": () => painter?.zoom(1.25),
      "-": () => painter?.zoom(0.8),
      "0": () => painter?.fit(true),
    };
    const handler = keys[event.key];
    if (!handler) return;
    event.preventDefault();
    handler();
  };

  const peers = selected.parent?.children ?? [selected];
  return (
    <div class="picture" aria-busy={busy}>
      <p id="picture-help" class="unseen">{t("pictureHelp")}</p>
      <div
        ref={frame}
        class="picture-frame"
        role="tree"
        tabIndex={0}
        aria-label={t("picture", { name: displayName(tree.root.entity) })}
        aria-describedby="picture-help"
        aria-activedescendant="picture-item"
        onKeyDown={onKeyDown}
        onFocus={() => painter && ((painter.focused = true), painter.redraw())}
        onBlur={() => painter && ((painter.focused = false), painter.redraw())}
      >
        <canvas ref={canvas} aria-hidden="true" />
        <div
          ref={item}
          id="picture-item"
          class="picture-item"
          role="treeitem"
          aria-selected="true"
          aria-level={selected.depth + 1}
          aria-setsize={peers.length}
          aria-posinset={peers.indexOf(selected) + 1}
          {...(selected.children.length > 0 ? { "aria-expanded": !tree.isCollapsed(selected) } : {})}
          aria-label={describe(tree, selected, t)}
        />
      </div>
      <PictureTools
        painter={painter}
        tree={tree}
        layout={layout}
        onLayout={setChosen}
        onCollapseAll={onCollapseAll}
      />
      {busy && <div class="picture-busy" role="status">{t("loading")}</div>}
    </div>
  );
}

function describe(tree: Tree, node: TreeNode, t: ReturnType<typeof useWords>["t"]): string {
  const parts = [t("nodeLabel", { type: node.entity.type, name: nameIn(tree, node) })];
  if (node.relation) parts.push(t("nodeVia", { relation: node.relation }));
  if (node.entity.erased) parts.push(t("erased"));
  else if (isRepeated(tree, node)) parts.push(t("nodeRepeated"));
  else {
    if (node.children.length > 0) parts.push(t("nodeChildren", { count: node.children.length }));
    if (leftOut(node) > 0) parts.push(t("nodeLeftOut", { count: leftOut(node) }));
    if (canLoad(tree, node)) parts.push(t("nodeLoadable"));
  }
  return parts.join(", ");
}

/** Lay the item that screen readers and magnifiers know over the node that is drawn. */
function cover(painter: Painter, item: HTMLElement | null, key: string): void {
  const node = painter.nodes.find((candidate) => candidate.key === key);
  if (!item || !node) return;
  const { x, y } = painter.at(node);
  const { k } = painter.camera;
  const columns = painter.layout?.kind === "columns";
  const width = (columns ? CARD.width : 30) * k;
  const height = (columns ? CARD.height : 30) * k;
  const [sx, sy] = painter.camera.toScreen(x, y);
  item.style.width = `${width}px`;
  item.style.height = `${height}px`;
  item.style.transform = `translate(${sx - width / 2}px, ${sy - height / 2}px)`;
}
