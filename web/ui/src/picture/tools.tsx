/** What lies over the picture: layout, zoom, the legend. */

import { Icon } from "../icons";
import { KindMark } from "../kind-mark";
import type { LayoutKind } from "../lib/layout";
import { canLoad, isRepeated, leftOut, walk, type Tree } from "../lib/tree";
import { useWords } from "../words";
import type { Painter } from "./painter";

interface Props {
  readonly painter: Painter | null;
  readonly tree: Tree;
  readonly layout: LayoutKind;
  readonly onLayout: (layout: LayoutKind) => void;
  readonly onCollapseAll: (collapsed: boolean) => void;
}

export function PictureTools({ painter, tree, layout, onLayout, onCollapseAll }: Props) {
  const { t } = useWords();
  const types = new Map<string, number>();
  const marks = { erased: false, repeated: false, cut: false, loadable: false };
  for (const node of walk(tree.root)) {
    if (node.entity.erased) marks.erased = true;
    else if (isRepeated(tree, node)) marks.repeated = true;
    else if (leftOut(node) > 0) marks.cut = true;
    else if (canLoad(tree, node)) marks.loadable = true;
    if (tree.full.get(node.entity.id) === node) types.set(node.entity.type, (types.get(node.entity.type) ?? 0) + 1);
  }
  const tool = (label: string, icon: Parameters<typeof Icon>[0]["name"], press: () => void) => (
    <button type="button" class="tool" aria-label={label} title={label} onClick={press}>
      <Icon name={icon} />
    </button>
  );
  return (
    <>
      <div class="tools tools-top" role="toolbar" aria-label={t("layout")}>
        {(["columns", "rings"] as const).map((kind) => (
          <button
            key={kind}
            type="button"
            class="tool tool-text"
            aria-pressed={layout === kind}
            onClick={() => onLayout(kind)}
          >
            <Icon name={kind} /> <span>{t(kind === "columns" ? "layoutColumns" : "layoutRings")}</span>
          </button>
        ))}
      </div>
      <div class="tools tools-side">
        {tool(t("zoomIn"), "plus", () => painter?.zoom(1.3))}
        {tool(t("zoomOut"), "minus", () => painter?.zoom(1 / 1.3))}
        {tool(t("fit"), "fit", () => painter?.fit(true))}
        {tool(t("expandAll"), "unfold", () => onCollapseAll(false))}
        {tool(t("collapseAll"), "fold", () => onCollapseAll(true))}
      </div>
      <ul class="legend" aria-label={t("legend")}>
        {[...types].sort((a, b) => b[1] - a[1]).slice(0, 8).map(([type, count]) => (
          <li key={type}>
            <KindMark type={type} /> {type} <span class="legend-count">{count}</span>
          </li>
        ))}
        {marks.repeated && <li><span class="mark mark-repeated" aria-hidden="true">↺</span> {t("markRepeated")}</li>}
        {marks.erased && <li><span class="mark mark-erased" aria-hidden="true">×</span> {t("markErased")}</li>}
        {marks.cut && <li><span class="mark mark-cut" aria-hidden="true">+</span> {t("markTruncated")}</li>}
        {marks.loadable && <li><span class="mark mark-loadable" aria-hidden="true">+</span> {t("markLoadable")}</li>}
      </ul>
    </>
  );
}
