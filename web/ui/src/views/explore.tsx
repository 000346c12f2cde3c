/** The view of one profile: search, picture, details. */

import { useEffect, useRef, useState } from "preact/hooks";
import { Icon } from "../icons";
import { ApiError, nextLink, request } from "../lib/api";
import { displayName, readEntity, type Entity } from "../lib/entity";
import { erased, without } from "../lib/erasure";
import type { Feed } from "../lib/feed";
import { pathOf, writeRoute, type ExploreRoute } from "../lib/route";
import { Tree, walk, type TreeNode } from "../lib/tree";
import { Picture } from "../picture/picture";
import { useWords } from "../words";
import { Details } from "./details";
import { Problem } from "./problem";
import { forget, remember } from "./recent";
import { SearchBar } from "./search-bar";
import { Start } from "./start";
import { useFollowing } from "./following";

interface Found {
  readonly entities: readonly Entity[];
  readonly next: string | null;
  readonly path: string;
  readonly cache: string;
  readonly tookMs: number;
}

type State =
  | { readonly is: "idle" }
  | { readonly is: "loading" }
  | { readonly is: "failed"; readonly error: unknown }
  | { readonly is: "found"; readonly found: Found };

const LEVELS_PER_LOAD = 1;

export function Explore({ route, feed, attempt }: { readonly route: ExploreRoute; readonly feed: Feed; readonly attempt: number }) {
  const { t } = useWords();
  const [state, setState] = useState<State>({ is: "idle" });
  const [index, setIndex] = useState(0);
  const [again, setAgain] = useState(0);
  const [further, setFurther] = useState<unknown>(null); // "loading", or why there are no more results
  const path = route.search ? pathOf(route.search, route.depth, route.period) : null;

  useEffect(() => {
    if (!path) return setState({ is: "idle" });
    const abort = new AbortController();
    setState({ is: "loading" });
    setFurther(null);
    setIndex(0);
    read(path, abort.signal).then(
      (found) => {
        setState({ is: "found", found });
        if (route.search && found.entities.length > 0) remember(route.search);
      },
      (error: unknown) => !abort.signal.aborted && setState({ is: "failed", error }),
    );
    return () => abort.abort();
  }, [path, again, attempt]);

  const retry = (): void => setAgain((count) => count + 1);
  const more = async (found: Found): Promise<void> => {
    if (!found.next) return;
    setFurther("loading");
    let answer: Found | null = null;
    let failure: unknown = null;
    try {
      answer = await read(found.next);
    } catch (error) {
      failure = error;
    }
    setFurther(failure);
    // Another search may have taken its place, and an erasure something out of it.
    if (answer) {
      const { entities, next } = answer;
      setState((now) => (now.is === "found" && now.found.next === found.next ? { is: "found", found: { ...now.found, entities: [...now.found.entities, ...entities], next } } : now));
    }
  };
  const found = state.is === "found" ? state.found : null;
  // In the list of results and in their answers, too, which are shown again by whoever goes back.
  const takeAway = (id: string): void => {
    if (route.search && found?.entities.length === 1 && found.entities[0]!.id === id) forget(route.search);
    setState((now) => {
      if (now.is !== "found") return now;
      const entities = now.found.entities.map((one) => (one.id === id ? erased(one) : without(one, id)));
      return { is: "found", found: { ...now.found, entities } };
    });
  };
  const { search } = route;
  const entity = found?.entities[index];
  return (
    <>
      <h1 class="unseen">{t("navExplore")}</h1>
      <SearchBar route={route} />
      {state.is === "idle" && <Start />}
      {state.is === "loading" && <Loading />}
      {state.is === "failed" && <div class="middle"><Problem error={state.error} onRetry={retry} /></div>}
      {found && !entity && (
        <div class="middle">
          <div class="notice">
            <h2>{t("noResultTitle")}</h2>
            <p>{search?.by === "property" && t("noResultText", { property: search.property, value: search.value })}</p>
          </div>
        </div>
      )}
      {found && entity && (
        <>
          {(found.entities.length > 1 || found.next) && (
            <div class="results" role="group" aria-label={t("results", { count: found.entities.length })}>
              <button type="button" class="tool" aria-label={t("resultsPrevious")} disabled={index === 0} onClick={() => setIndex(index - 1)}>
                <Icon name="previous" />
              </button>
              <select class="field" aria-label={t("results", { count: found.entities.length })} value={String(index)} onChange={(event) => setIndex(Number(event.currentTarget.value))}>
                {found.entities.map((one, place) => (
                  <option key={one.id} value={String(place)}>{`${displayName(one)} · ${one.erased ? t("erased") : one.reference}`}</option>
                ))}
              </select>
              <button type="button" class="tool" aria-label={t("resultsNext")} disabled={index >= found.entities.length - 1} onClick={() => setIndex(index + 1)}>
                <Icon name="next" />
              </button>
              <span class="muted">{t("resultOf", { index: index + 1, count: `${found.entities.length}${found.next ? "+" : ""}` })}</span>
              {found.next && (
                <button type="button" class="button" disabled={further === "loading"} onClick={() => void more(found)}>{t(further === "loading" ? "loading" : "moreResults")}</button>
              )}
              {further !== null && further !== "loading" && <Problem error={further} />}
            </div>
          )}
          <Profile key={`${path} ${entity.id} ${again} ${attempt}`} entity={entity} found={found} route={route} feed={feed} onErased={takeAway} />
        </>
      )}
    </>
  );
}

async function read(path: string, signal?: AbortSignal): Promise<Found> {
  const started = performance.now();
  const answer = await request(path, signal ? { signal } : {});
  const tookMs = performance.now() - started;
  const { json } = answer;
  return {
    entities: Array.isArray(json) ? json.map(readEntity) : [readEntity(json)],
    next: nextLink(answer.headers),
    path,
    cache: answer.headers.get("Cache-Status") ?? "",
    tookMs,
  };
}

function Loading() {
  const { t } = useWords();
  return (
    <div class="split" aria-busy="true">
      <div class="skeleton skeleton-picture" role="status"><span class="spinner" /> {t("loading")}</div>
      <div class="skeleton" />
    </div>
  );
}

interface ProfileProps {
  readonly entity: Entity;
  readonly found: Found;
  readonly route: ExploreRoute;
  readonly feed: Feed;
  readonly onErased: (id: string) => void;
}

/** One tree and what is selected in it. */
function Profile({ entity, found, route, feed, onErased }: ProfileProps) {
  const { t } = useWords();
  const tree = useRef<Tree | null>(null);
  tree.current ??= new Tree(entity, route.depth);
  const [version, setVersion] = useState(0);
  const [selectedKey, setSelectedKey] = useState(tree.current.root.key);
  const [busy, setBusy] = useState(false);
  const [failure, setFailure] = useState<unknown>(null);
  const changed = (): void => setVersion((count) => count + 1);

  const selected = tree.current.find(selectedKey) ?? tree.current.root;
  const select = (node: TreeNode): void => {
    tree.current!.reveal(node);
    setSelectedKey(node.key);
    changed();
  };
  const toggle = (node: TreeNode): void => {
    tree.current!.toggle(node);
    changed();
  };
  const load = async (node: TreeNode, levels = LEVELS_PER_LOAD): Promise<void> => {
    setBusy(true);
    setFailure(null);
    try {
      const answer = await request(pathOf({ by: "id", id: node.entity.id }, levels, route.period));
      tree.current!.merge(node, readEntity(answer.json), levels);
      changed();
    } catch (error) {
      if (error instanceof ApiError && error.status === 404) following.erase(node.entity.id);
      else setFailure(error);
    } finally {
      setBusy(false);
    }
  };
  const following = useFollowing(feed, tree.current, route.period, changed, onErased);

  const collapseAll = (collapsed: boolean): void => {
    const { root } = tree.current!;
    tree.current!.collapsed.clear();
    if (collapsed) {
      for (const node of walk(root)) if (node !== root && node.children.length > 0) tree.current!.collapsed.add(node.key);
      setSelectedKey(root.key);
    }
    changed();
  };

  return (
    <div class="split">
      <section class="stage">
        <Picture
          tree={tree.current}
          version={version}
          selected={selected}
          flashing={following.flashing}
          busy={busy}
          onSelect={select}
          onToggle={toggle}
          onLoad={(node) => void load(node)}
          onCollapseAll={collapseAll}
        />
        <div class="stage-status">
          <span>{t("entities", { count: tree.current.full.size })}</span>
          <button type="button" class="follow" aria-pressed={following.on} onClick={following.toggle}>
            <span class={`dot dot-${following.state.is}`} aria-hidden="true" />
            {following.on && following.state.is === "waiting" ? t("liveWaiting", { seconds: following.state.seconds }) : t(following.on ? "liveFollowing" : "liveFollow")}
          </button>
        </div>
        <p class="unseen" role="status">{following.last.map(({ word, name }) => t(word, { name })).join(". ")}</p>
        {failure !== null && (
          <div class="stage-problem">
            <Problem error={failure} onRetry={() => void load(selected)} />
            <button type="button" class="tool" aria-label={t("close")} onClick={() => setFailure(null)}><Icon name="close" /></button>
          </div>
        )}
        {following.state.is === "refused" && following.on && (
          <p class="stage-notice" role="status">
            {following.state.status >= 500
              ? t("liveUnavailable", { status: following.state.status })
              : following.state.status === 401
                ? t("err401")
                : following.state.status === 403
                  ? t("err403")
                  : t("liveMissing", { status: following.state.status })}
          </p>
        )}
      </section>
      <Details
        tree={tree.current}
        node={selected}
        version={version}
        path={selected === tree.current.root ? pathOf({ by: "id", id: selected.entity.id }, route.depth, route.period) : pathOf({ by: "id", id: selected.entity.id }, 1, route.period)}
        served={{ cache: found.cache, tookMs: found.tookMs }}
        onSelect={select}
        onToggle={toggle}
        onLoad={load}
        onRoot={(node) => {
          location.hash = writeRoute({ ...route, search: { by: "id", id: node.entity.id } });
        }}
      />
    </div>
  );
}

