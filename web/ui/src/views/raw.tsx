import { apiKey } from "../lib/api";
import type { Entity } from "../lib/entity";
import { number } from "../lib/format";
import { formatJson } from "../lib/json";
import { curlOf } from "../lib/route";
import { useWords } from "../words";
import { CopyButton } from "./copy-button";

const MOST_SHOWN = 200_000;
const TOKEN = /("(?:[^"\\]|\\.)*")(\s*:)?|\b(?:true|false|null)\b|-?\d[\d.eE+-]*/g;

/** The answer's JSON, digits as they came, and the read that gives it. */
export function Raw({ entity, path, served }: { readonly entity: Entity; readonly path: string; readonly served: { readonly cache: string; readonly tookMs: number } }) {
  const { language, t } = useWords();
  const text = formatJson(entity.raw, 2);
  const curl = curlOf(location.origin, path, apiKey.get() !== "");
  return (
    <div class="raw">
      <div class="raw-head">
        <h3>{t("curl")}</h3>
        <CopyButton text={() => curl} />
      </div>
      <pre class="code code-wrap" tabIndex={0}>{curl}</pre>
      <div class="raw-head">
        <h3>{t("rawText")}</h3>
        <CopyButton text={() => text} />
      </div>
      {served.cache && (
        <p class="muted raw-served">
          {t("served", { cache: served.cache })} · {t("servedMs", { ms: number(language, served.tookMs) })}
        </p>
      )}
      <pre class="code" tabIndex={0} data-raw>{coloured(text.slice(0, MOST_SHOWN))}{text.length > MOST_SHOWN && "\n…"}</pre>
    </div>
  );
}

function coloured(text: string) {
  if (text.length > 60_000) return text;
  const parts = [];
  let end = 0;
  for (const match of text.matchAll(TOKEN)) {
    parts.push(text.slice(end, match.index));
    const css = match[2] ? "json-name" : match[1] ? "json-text" : "json-plain";
    parts.push(<span class={css}>{match[1] ?? match[0]}</span>, match[2] ?? "");
    end = match.index + match[0].length;
  }
  parts.push(text.slice(end));
  return parts;
}
