/** Search by id, by type and reference, or by a property; depth and period. */

import { useEffect, useState } from "preact/hooks";
import { Icon } from "../icons";
import { MAX_DEPTH, writeRoute, type ExploreRoute, type Search } from "../lib/route";
import { useWords } from "../words";

const go = (route: ExploreRoute): void => {
  location.hash = writeRoute(route);
};

export function SearchBar({ route }: { readonly route: ExploreRoute }) {
  const { t } = useWords();
  const { search } = route;
  const [by, setBy] = useState<Search["by"]>(search?.by ?? "property");
  const [id, setId] = useState("");
  const [type, setType] = useState("user");
  const [reference, setReference] = useState("");
  const [property, setProperty] = useState("email");
  const [value, setValue] = useState("");

  useEffect(() => {
    if (!search) return;
    setBy(search.by);
    if (search.by === "id") setId(search.id);
    if (search.by === "reference") {
      setType(search.type);
      setReference(search.reference);
    }
    if (search.by === "property") {
      setProperty(search.property);
      setValue(search.value);
    }
  }, [search && writeRoute(route)]);

  const submit = (event: Event): void => {
    event.preventDefault();
    const wanted: Search =
      by === "id"
        ? { by, id: id.trim() }
        : by === "reference"
          ? { by, type: type.trim(), reference: reference.trim() }
          : { by, property: property.trim(), value };
    go({ ...route, search: wanted });
  };
  const field = (label: string, content: string, change: (text: string) => void, css = "", more = {}) => (
    <input
      class={`field ${css}`}
      required
      spellcheck={false}
      autocapitalize="off"
      autocomplete="off"
      aria-label={label}
      placeholder={label}
      value={content}
      onInput={(event) => change(event.currentTarget.value)}
      {...more}
    />
  );
  return (
    <form class="search" role="search" onSubmit={submit}>
      <div class="search-what">
        <select class="field" aria-label={t("searchBy")} value={by} onChange={(event) => setBy(event.currentTarget.value as Search["by"])}>
          <option value="property">{t("byProperty")}</option>
          <option value="reference">{t("byReference")}</option>
          <option value="id">{t("byId")}</option>
        </select>
        {by === "id" && field(t("id"), id, setId, "grow", { inputMode: "numeric", pattern: "\\s*[0-9]+\\s*" })}
        {by === "reference" && field(t("type"), type, setType, "narrow")}
        {by === "reference" && field(t("reference"), reference, setReference, "grow")}
        {by === "property" && field(t("property"), property, setProperty, "narrow")}
        {by === "property" && field(t("value"), value, setValue, "grow")}
        <button type="submit" class="button button-main">
          <Icon name="search" /> <span>{t("search")}</span>
        </button>
      </div>
      <div class="search-how">
        <label class="labelled">
          <span>{t("depth")}</span>
          <input
            type="range"
            min={1}
            max={MAX_DEPTH}
            value={route.depth}
            onChange={(event) => go({ ...route, depth: Number(event.currentTarget.value), search })}
            disabled={!search}
          />
          <output>{route.depth}</output>
        </label>
        <label class="labelled">
          <span>{t("period")}</span>
          <input
            class="field"
            type="date"
            value={route.period.slice(0, 10)}
            onChange={(event) => go({ ...route, period: event.currentTarget.value && `${event.currentTarget.value}T00:00:00Z` })}
            disabled={!search}
          />
        </label>
      </div>
    </form>
  );
}
