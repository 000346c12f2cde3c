import type { Entity } from "../lib/entity";
import { dateTime } from "../lib/format";
import { formatJson, JsonNumber, type Json } from "../lib/json";
import { useWords } from "../words";

/** Each property with its value as it is stored and the date that it bears. */
export function Properties({ entity }: { readonly entity: Entity }) {
  const { language, t } = useWords();
  if (entity.properties.size === 0) return <p class="empty">{t("noProperties")}</p>;
  return (
    <dl class="properties">
      {[...entity.properties].map(([name, { value, date }]) => (
        <div key={name}>
          <dt>{name.split(/(?<=[_.])/).map((part) => <>{part}<wbr /></>)}</dt>
          <dd>
            <Value value={value} />
            <time class="property-date" dateTime={date} title={date}>{t("asOf", { date: dateTime(language, date) })}</time>
          </dd>
        </div>
      ))}
    </dl>
  );
}

/** A value of any kind: what is simple as text, objects as their members, the rest as JSON. */
export function Value({ value }: { readonly value: Json }) {
  if (typeof value === "string") return <span class="value">{value || "“”"}</span>;
  if (value instanceof JsonNumber) return <span class="value value-number">{value.text}</span>;
  if (value === null || typeof value === "boolean") return <span class="value value-word">{String(value)}</span>;
  if (Array.isArray(value) && value.length > 0 && value.every((item) => typeof item === "string")) {
    return (
      <span class="value value-list">
        {(value as string[]).map((item, index) => <span key={index} class="badge">{item}</span>)}
      </span>
    );
  }
  if (value instanceof Map && value.size > 0 && value.size <= 6 && [...value.values()].every(isPlain)) {
    return (
      <span class="value value-object">
        {[...value].map(([name, item]) => (
          <span key={name}><span class="muted">{name}</span> {isText(item) ? item : formatJson(item)}</span>
        ))}
      </span>
    );
  }
  return <pre class="value value-json">{formatJson(value, 2)}</pre>;
}

const isText = (value: Json): value is string => typeof value === "string";
const isPlain = (value: Json): boolean => value === null || typeof value !== "object" || value instanceof JsonNumber;
