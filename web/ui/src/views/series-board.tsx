/** Temporal data: one key and granularity at a time, a chart for each number within its values. */

import { useState } from "preact/hooks";
import type { Entity } from "../lib/entity";
import { period } from "../lib/format";
import type { Word } from "../lib/i18n";
import { formatJson } from "../lib/json";
import { granularitiesOf, seriesOf } from "../lib/series";
import { useWords } from "../words";
import { Chart } from "./chart";

const MOST_CHARTS = 24;

export function SeriesBoard({ entity }: { readonly entity: Entity }) {
  const { language, t } = useWords();
  const keys = [...entity.temporal.keys()];
  const [chosenKey, setKey] = useState("");
  const [chosen, setGranularity] = useState("");
  const key = keys.includes(chosenKey) ? chosenKey : keys[0];
  if (key === undefined) return <p class="empty">{t("noSeries")}</p>;
  const points = entity.temporal.get(key)!;
  const granularities = granularitiesOf(points);
  const most = granularities.reduce((best, one) => (countOf(points, one) > countOf(points, best) ? one : best), granularities[0] ?? "");
  const granularity = granularities.includes(chosen) ? chosen : most;
  const series = seriesOf(points, granularity);
  const rows = points.filter((point) => point.granularity === granularity);
  const word = (name: string): string => (["instant", "day", "week", "month", "quarter", "year"].includes(name) ? t(name as Word) : name);
  return (
    <div class="series">
      <div class="series-choice">
        {keys.length > 1 ? (
          <select class="field" aria-label={t("tabSeries")} value={key} onChange={(event) => setKey(event.currentTarget.value)}>
            {keys.map((name) => <option key={name} value={name}>{name}</option>)}
          </select>
        ) : (
          <h3>{key}</h3>
        )}
        <div class="segments" role="group" aria-label={t("granularity")}>
          {granularities.map((name) => (
            <button key={name} type="button" aria-pressed={name === granularity} onClick={() => setGranularity(name)}>{word(name)}</button>
          ))}
        </div>
        <span class="muted">{t("points", { count: rows.length })}</span>
      </div>
      {series.length === 0 && <p class="empty">{t(rows.length > 0 ? "noNumbers" : "noNumbersAt")}</p>}
      {series.slice(0, MOST_CHARTS).map(({ name, samples }, index) => (
        <Chart key={`${key} ${granularity} ${name}`} title={name || key} samples={samples} granularity={granularity} tone={index % 3} />
      ))}
      <details class="series-table">
        <summary>{t("table")}</summary>
        <table>
          <thead><tr><th scope="col">{t("date")}</th><th scope="col">{t("value")}</th></tr></thead>
          <tbody>
            {rows.slice(-400).map((point) => (
              <tr key={point.date}>
                <td><time dateTime={point.date} title={point.date}>{period(language, point.date, granularity)}</time></td>
                <td><code>{formatJson(point.value)}</code></td>
              </tr>
            ))}
          </tbody>
        </table>
      </details>
    </div>
  );
}

const countOf = (points: readonly { readonly granularity: string }[], granularity: string): number =>
  points.reduce((sum, point) => sum + (point.granularity === granularity ? 1 : 0), 0);
