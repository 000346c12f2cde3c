/** Domain events as they come, filtered. */

import { useEffect, useState } from "preact/hooks";
import { Icon } from "../icons";
import { KindMark } from "../kind-mark";
import { matches, type DomainEvent } from "../lib/events";
import type { Feed, FeedState } from "../lib/feed";
import { clockTime } from "../lib/format";
import { formatJson } from "../lib/json";
import { DEFAULT_DEPTH, writeRoute } from "../lib/route";
import { useWords, type Words } from "../words";

const TYPES = ["entity", "relationship", "temporal_data"].flatMap((subject) =>
  subject === "entity"
    ? ["entity_created", "entity_properties_updated", "entity_deleted", "entity_erased"]
    : [`${subject}_created`, `${subject}_updated`, `${subject}_deleted`],
);
const MOST_SHOWN = 200;

export function Live({ feed }: { readonly feed: Feed }) {
  const words = useWords();
  const { t } = words;
  const [, setCount] = useState(0);
  const [filter, setFilter] = useState("");
  const [type, setType] = useState("");
  useEffect(() => feed.listen(() => setCount((count) => count + 1)), [feed]);
  // Whoever opens this view wants to see them come.
  useEffect(() => {
    if (feed.state.is === "paused" && feed.events.length === 0) feed.start();
  }, [feed]);

  const { state, events } = feed;
  const fitting = events.filter((event) => matches(event, filter, type)).slice(0, MOST_SHOWN);
  return (
    <div class="board">
      <header class="board-head">
        <div>
          <h1>{t("liveTitle")}</h1>
          <p class="muted">{t("liveText")}</p>
        </div>
        <p class="feed-state" role="status"><span class={`dot dot-${state.is}`} aria-hidden="true" /> {told(state, words)}</p>
      </header>
      <div class="board-tools">
        <input class="field grow" type="search" aria-label={t("liveFilter")} placeholder={`${t("liveFilter")}: ${t("liveFilterHint")}`} value={filter} onInput={(event) => setFilter(event.currentTarget.value)} />
        <select class="field" aria-label={t("type")} value={type} onChange={(event) => setType(event.currentTarget.value)}>
          <option value="">{t("liveAllTypes")}</option>
          {TYPES.map((name) => <option key={name} value={name}>{name}</option>)}
        </select>
        <button type="button" class="button" onClick={() => (feed.running ? feed.stop() : feed.start())}>
          <Icon name={feed.running ? "pause" : "play"} /> {t(feed.running ? "livePause" : "liveStart")}
        </button>
        <button type="button" class="button" disabled={events.length === 0} onClick={() => feed.clear()}>{t("liveClear")}</button>
      </div>
      {state.is === "refused" && <Refused state={state} onRetry={() => (feed.stop(), feed.start())} />}
      {events.length > 0 && fitting.length === 0 && <p class="empty">{t("liveNoMatch", { count: events.length })}</p>}
      {events.length === 0 && state.is !== "refused" && (
        <div class="notice notice-quiet">
          {state.is === "live" && <span class="beat" aria-hidden="true" />}
          <h2>{t("liveEmpty")}</h2>
          <p class="muted">{state.is === "live" ? t("liveEmptyText") : told(state, words)}</p>
        </div>
      )}
      <ol class="events">
        {fitting.map((event) => <EventRow key={event.key} event={event} words={words} />)}
      </ol>
    </div>
  );
}

function Refused({ state, onRetry }: { readonly state: Extract<FeedState, { is: "refused" }>; readonly onRetry: () => void }) {
  const { t } = useWords();
  const { status } = state;
  const sentence =
    status === 401
      ? t("err401")
      : status === 403
        ? t("err403")
        : status >= 500 || status === 429
          ? t("liveUnavailable", { status })
          : t("liveMissing", { status });
  return (
    <div class="notice notice-error" role="alert">
      <p>{sentence}</p>
      {state.detail && status !== 404 && <p class="muted">{state.detail}</p>}
      <button type="button" class="button" onClick={onRetry}>{t("retry")}</button>
    </div>
  );
}

function told(state: FeedState, { t }: Words): string {
  switch (state.is) {
    case "live":
      return t("liveOn");
    case "connecting":
      return t("liveConnecting");
    case "waiting":
      return t("liveWaiting", { seconds: state.seconds });
    default:
      return t("livePaused");
  }
}

function EventRow({ event, words }: { readonly event: DomainEvent; readonly words: Words }) {
  const { language, t } = words;
  const tone = /(deleted|erased)$/.test(event.eventType) ? "bad" : event.eventType.endsWith("created") ? "good" : "plain";
  const href = writeRoute({
    view: "explore",
    search: { by: "reference", type: event.type, reference: event.reference },
    depth: DEFAULT_DEPTH,
    period: "",
  });
  return (
    <li class="event">
      <time class="event-time" dateTime={event.time} title={event.time}>{clockTime(language, event.time)}</time>
      <span class={`event-type event-${tone}`}>{event.eventType}</span>
      <span class="event-who">
        <KindMark type={event.type || "unknown"} />
        {event.type ? <a href={href} title={t("liveOpen", { name: event.reference })}>{event.reference}</a> : event.reference}
        {event.target && <span class="muted">→ {event.target.type && `${event.target.type}:`}{event.target.reference}</span>}
      </span>
      {event.changes.length > 0 && (
        <ul class="event-changes" aria-label={t("liveFields")}>
          {event.changes.slice(0, 8).map(({ field, old, new: now }) => (
            <li key={field}>
              <span class="event-field">{field}</span>
              <del>{old === null ? t("nothing") : formatJson(old)}</del>
              <span aria-hidden="true">→</span>
              <ins>{now === null ? t("nothing") : formatJson(now)}</ins>
            </li>
          ))}
        </ul>
      )}
    </li>
  );
}
