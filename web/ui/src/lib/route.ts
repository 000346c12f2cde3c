/** What the address bar holds: a view, and what was searched for. */

export type Search =
  | { readonly by: "id"; readonly id: string }
  | { readonly by: "reference"; readonly type: string; readonly reference: string }
  | { readonly by: "property"; readonly property: string; readonly value: string };

export interface ExploreRoute {
  readonly view: "explore";
  readonly search: Search | null;
  readonly depth: number;
  readonly period: string;
}

export type Route = ExploreRoute | { readonly view: "live" } | { readonly view: "operations" };

export const DEFAULT_DEPTH = 3;
export const MAX_DEPTH = 10;

export function readRoute(hash: string): Route {
  const [path, query] = hash.replace(/^#\/?/, "").split("?", 2);
  if (path === "live" || path === "operations") return { view: path };
  const given = new URLSearchParams(query);
  const depth = Number(given.get("depth") ?? DEFAULT_DEPTH);
  const text = (name: string): string => given.get(name) ?? "";
  let search: Search | null = null;
  if (given.has("id")) search = { by: "id", id: text("id") };
  else if (given.has("reference")) search = { by: "reference", type: text("type"), reference: text("reference") };
  else if (given.has("property")) search = { by: "property", property: text("property"), value: text("value") };
  return {
    view: "explore",
    search,
    depth: Number.isInteger(depth) && depth >= 1 && depth <= MAX_DEPTH ? depth : DEFAULT_DEPTH,
    period: text("period"),
  };
}

export function writeRoute(route: Route): string {
  if (route.view !== "explore") return `#/${route.view}`;
  const query = new URLSearchParams();
  const { search } = route;
  if (search?.by === "id") query.set("id", search.id);
  if (search?.by === "reference") {
    query.set("type", search.type);
    query.set("reference", search.reference);
  }
  if (search?.by === "property") {
    query.set("property", search.property);
    query.set("value", search.value);
  }
  if (search && route.depth !== DEFAULT_DEPTH) query.set("depth", String(route.depth));
  if (search && route.period) query.set("period", route.period);
  const text = query.toString();
  return text ? `#/explore?${text}` : "#/explore";
}

/** The path of the API that answers a search; a slash within a name is sent as %2F. */
export function pathOf(search: Search, depth: number, period: string): string {
  const part = encodeURIComponent;
  const path =
    search.by === "id"
      ? `/v1/graph/${part(search.id)}`
      : search.by === "reference"
        ? `/v1/graph/by-reference/${part(search.type)}/${part(search.reference)}`
        : `/v1/graph/by-property/${part(search.property)}/value/${part(search.value)}`;
  return `${path}?depth=${depth}${period ? `&period=${part(period)}` : ""}`;
}

/** The same read for a terminal. */
export function curlOf(origin: string, path: string, withKey: boolean): string {
  const key = withKey ? ' -H "Authorization: Bearer $PROFILE_API_KEY"' : "";
  return `curl${key} '${origin}${path.replaceAll("'", "%27")}'`;
}
