import { number } from "../lib/format";
import type { TopicRow } from "../lib/readings";
import { useWords } from "../words";

/** What is read of each topic, and what waits. */
export function Topics({ rows }: { readonly rows: readonly TopicRow[] }) {
  const { language, t } = useWords();
  if (rows.length === 0) return <p class="empty">{t("opsNoTopics")}</p>;
  const most = Math.max(1, ...rows.map((row) => row.lag ?? 0));
  return (
    <div class="scroll" tabIndex={0} role="region" aria-label={t("opsTopics")}>
      <table class="table">
        <thead>
          <tr>
            <th scope="col">{t("opsTopic")}</th>
            <th scope="col" class="right">{t("opsRate")}</th>
            <th scope="col" class="right">{t("opsLagColumn")}</th>
            <th scope="col" class="right">{t("opsTotal")}</th>
            <th scope="col" class="right">{t("opsLetters")}</th>
          </tr>
        </thead>
        <tbody>
          {rows.map((row) => (
            <tr key={row.topic}>
              <th scope="row">
                {row.topic}
                <meter class="lag" min={0} max={most} value={row.lag ?? 0} aria-hidden="true" />
              </th>
              <td class="right">{number(language, row.perS, row.perS < 10 ? 1 : 0)}</td>
              <td class="right">{row.lag === null ? "–" : number(language, row.lag)}</td>
              <td class="right">{number(language, row.total)}</td>
              <td class={`right ${row.letters > 0 ? "bad" : ""}`}>{number(language, row.letters)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
