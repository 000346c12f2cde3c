/** The selected entity: properties, time series, relationships, JSON. */

import { useState } from "preact/hooks";
import { Icon } from "../icons";
import { KindMark } from "../kind-mark";
import { displayName, type Entity } from "../lib/entity";
import { dateTime } from "../lib/format";
import type { Word } from "../lib/i18n";
import { canLoad, isRepeated, leftOut, nameIn, type Tree, type TreeNode } from "../lib/tree";
import { useWords } from "../words";
import { CopyButton } from "./copy-button";
import { Properties } from "./properties";
import { Raw } from "./raw";
import { SeriesBoard } from "./series-board";

interface Props {
  readonly tree: Tree;
  readonly node: TreeNode;
  readonly version: number;
  readonly path: string;
  readonly served: { readonly cache: string; readonly tookMs: number };
  readonly onSelect: (node: TreeNode) => void;
  readonly onToggle: (node: TreeNode) => void;
  readonly onLoad: (node: TreeNode) => Promise<void>;
  readonly onRoot: (node: TreeNode) => void;
}

const TABS = ["properties", "series", "links", "raw"] as const;
type Tab = (typeof TABS)[number];
const LABELS: Readonly<Record<Tab, Word>> = { properties: "tabProperties", series: "tabSeries", links: "tabLinks", raw: "tabRaw" };

export function Details({ tree, node, path, served, onSelect, onToggle, onLoad, onRoot }: Props) {
  const { language, t } = useWords();
  const [tab, setTab] = useState<Tab>("properties");
  const repeated = isRepeated(tree, node);
  const full = tree.full.get(node.entity.id);
  const entity = repeated && full ? full.entity : node.entity;
  const missing = leftOut(node);
  const counts: Partial<Record<Tab, number>> = {
    properties: entity.properties.size,
    series: entity.temporal.size,
    links: node.children.length,
  };
  const onKeyDown = (event: KeyboardEvent): void => {
    const step = event.key === "ArrowRight" ? 1 : event.key === "ArrowLeft" ? -1 : 0;
    if (!step) return;
    event.preventDefault();
    const next = TABS[(TABS.indexOf(tab) + step + TABS.length) % TABS.length]!;
    setTab(next);
    document.getElementById(`tab-${next}`)?.focus();
  };
  if (entity.erased) return <Erased entity={entity} />;
  return (
    <section class="details" aria-label={t("details")}>
      <header class="details-head">
        <span class="details-mark"><KindMark type={entity.type} size={30} /></span>
        <div class="details-name">
          <h2>{displayName(entity)}</h2>
          <p class="muted">
            <span class="badge">{entity.type}</span> <code>{entity.reference}</code>
            <CopyButton text={() => entity.reference} label={t("copyReference")} />
          </p>
        </div>
      </header>
      {(repeated || missing > 0) && (
        <p class="details-note">
          {repeated ? t("repeatedText") : t("truncatedText", { count: missing })}
        </p>
      )}
      <div class="actions">
        {repeated && full && <button type="button" class="button" onClick={() => void keepFocus(() => onSelect(full))}>{t("goToFull")}</button>}
        {canLoad(tree, node) && (
          <button type="button" class="button button-main" onClick={() => void keepFocus(() => onLoad(node))}>
            <Icon name="plus" /> {missing > 0 ? t("loadMore", { count: missing }) : t("load")}
          </button>
        )}
        {node !== tree.root && node.children.length > 0 && (
          <button type="button" class="button" aria-expanded={!tree.isCollapsed(node)} onClick={() => onToggle(node)}>
            <Icon name={tree.isCollapsed(node) ? "unfold" : "fold"} /> {t(tree.isCollapsed(node) ? "expand" : "collapse")}
          </button>
        )}
        {node !== tree.root && (
          <button type="button" class="button" onClick={() => onRoot(node)}><Icon name="root" /> {t("makeRoot")}</button>
        )}
      </div>
      {entity.createdAt && (
        <dl class="stamps">
          <div><dt>{t("id")}</dt><dd>{entity.id}</dd></div>
          <div><dt>{t("created")}</dt><dd><time dateTime={entity.createdAt} title={entity.createdAt}>{dateTime(language, entity.createdAt)}</time></dd></div>
          <div><dt>{t("updated")}</dt><dd><time dateTime={entity.updatedAt} title={entity.updatedAt}>{dateTime(language, entity.updatedAt)}</time></dd></div>
        </dl>
      )}
      <div class="tablist" role="tablist" aria-label={t("details")} onKeyDown={onKeyDown}>
        {TABS.map((name) => (
          <button
            key={name}
            id={`tab-${name}`}
            type="button"
            role="tab"
            aria-selected={tab === name}
            aria-controls="tab-panel"
            tabIndex={tab === name ? 0 : -1}
            onClick={() => setTab(name)}
          >
            {t(LABELS[name])}
            {counts[name] !== undefined && <span class="count">{counts[name]}</span>}
          </button>
        ))}
      </div>
      <div class="panel" id="tab-panel" role="tabpanel" aria-labelledby={`tab-${tab}`} tabIndex={0}>
        {tab === "properties" && <Properties entity={entity} />}
        {tab === "series" && <SeriesBoard key={entity.id} entity={entity} />}
        {tab === "links" && <Links node={node} tree={tree} onSelect={onSelect} />}
        {tab === "raw" && <Raw entity={entity} path={path} served={served} />}
      </div>
    </section>
  );
}

/** A button that goes away by what it does leaves the keyboard nowhere: the picture has it then. */
async function keepFocus(act: () => void | Promise<void>): Promise<void> {
  await act();
  await new Promise((done) => setTimeout(done, 60)); // it is drawn by then
  if (document.activeElement === document.body) document.querySelector<HTMLElement>('[role="tree"]')?.focus({ preventScroll: true });
}

function Erased({ entity }: { readonly entity: Entity }) {
  const { t } = useWords();
  return (
    <section class="details" aria-label={t("details")}>
      <header class="details-head">
        <span class="details-mark"><KindMark type={entity.type} size={30} /></span>
        <div class="details-name">
          <h2>{displayName(entity)}</h2>
          <p><span class="badge">{entity.type}</span> <span class="badge badge-bad">{t("erased")}</span></p>
        </div>
      </header>
      <p class="details-note">{t("erasedText")}</p>
    </section>
  );
}

const MOST_LINKS = 300;

function Links({ node, tree, onSelect }: { readonly node: TreeNode; readonly tree: Tree; readonly onSelect: (node: TreeNode) => void }) {
  const { t } = useWords();
  if (node.children.length === 0) {
    return <p class="empty">{t(canLoad(tree, node) || isRepeated(tree, node) ? "noLinks" : "nothingMore")}</p>;
  }
  return (
    <ul class="links">
      {node.children.slice(0, MOST_LINKS).map((child) => (
        <li key={child.key}>
          <button type="button" onClick={() => onSelect(child)}>
            <KindMark type={child.entity.type} />
            <span class="links-name">{nameIn(tree, child)}</span>
            <span class="links-relation">{child.relation}</span>
          </button>
        </li>
      ))}
      {node.children.length > MOST_LINKS && <li class="muted">… {node.children.length - MOST_LINKS}</li>}
    </ul>
  );
}
