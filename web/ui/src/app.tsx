/** The page's frame: views, language, colours, API key. */

import { useEffect, useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
import { Icon } from "./icons";
import { apiKey, takeKey } from "./lib/api";
import { Feed } from "./lib/feed";
import type { Language } from "./lib/i18n";
import { readRoute, writeRoute, type ExploreRoute, type Route } from "./lib/route";
import { forgetTexts } from "./picture/strokes";
import { applyTheme, nextTheme, storedTheme, type Theme } from "./theme";
import { Explore } from "./views/explore";
import { KeyDialog } from "./views/key-dialog";
import { Live } from "./views/live";
import { Operations } from "./views/operations";
import { forgetAll } from "./views/recent";
import { storedLanguage, storeLanguage, WordsContext, wordsOf } from "./words";

const feed = new Feed();

export function App() {
  const [route, setRoute] = useState<Route>(() => readRoute(location.hash));
  const [language, setLanguage] = useState<Language>(storedLanguage);
  const [theme, setTheme] = useState<Theme>(storedTheme);
  const [asking, setAsking] = useState(false);
  const [keyed, setKeyed] = useState(() => apiKey.get() !== "");
  // Reads begin again when the key changes.
  const [attempt, setAttempt] = useState(0);
  const explored = useRef<ExploreRoute | null>(null);
  const words = useMemo(() => wordsOf(language), [language]);
  const { t } = words;

  // With the first drawing, not after its frame: where somebody is led meanwhile would be missed.
  useLayoutEffect(() => {
    const follow = () => {
      const next = takeKey(location.hash);
      if (next !== null) {
        history.replaceState(null, "", next);
        setKeyed(true);
        setAttempt((before) => before + 1);
      }
      setRoute(readRoute(location.hash));
    };
    addEventListener("hashchange", follow);
    return () => removeEventListener("hashchange", follow);
  }, []);
  // At once: a page that is left before the next frame has kept them.
  useLayoutEffect(() => {
    document.documentElement.lang = language;
    storeLanguage(language);
  }, [language]);
  useLayoutEffect(() => applyTheme(theme), [theme]);

  const title = t(route.view === "explore" ? "navExplore" : route.view === "live" ? "navLive" : "navOperations");
  useEffect(() => {
    document.title = `${title} · ${t("product")}`;
  }, [title, t]);
  if (route.view === "explore") explored.current = route;

  const tab = (to: Route, icon: Parameters<typeof Icon>[0]["name"], label: string) => (
    <a class="tab" href={writeRoute(to)} aria-current={route.view === to.view ? "page" : undefined}>
      <Icon name={icon} /> <span>{label}</span>
    </a>
  );
  const themeLabel = t("theme", { theme: t(theme === "light" ? "themeLight" : theme === "dark" ? "themeDark" : "themeSystem") });

  return (
    <WordsContext.Provider value={words}>
      <a class="skip" href="#content" onClick={(event) => (event.preventDefault(), document.getElementById("content")?.focus())}>
        {t("skip")}
      </a>
      <header class="top">
        <a class="brand" href="#/explore">
          <Brand /> <span>{t("product")}</span>
        </a>
        <nav aria-label={t("nav")} class="tabs">
          {tab(explored.current ?? readRoute(""), "graph", t("navExplore"))}
          {tab({ view: "live" }, "pulse", t("navLive"))}
          {tab({ view: "operations" }, "gauge", t("navOperations"))}
        </nav>
        <div class="top-tools">
          <button type="button" class={`quiet ${keyed ? "quiet-on" : ""}`} aria-label={t(keyed ? "apiKeySet" : "apiKey")} title={t(keyed ? "apiKeySet" : "apiKey")} onClick={() => setAsking(true)}>
            <Icon name="key" />
          </button>
          <button type="button" class="quiet" aria-label={themeLabel} title={themeLabel} onClick={() => setTheme(nextTheme(theme))}>
            <Icon name={theme === "light" ? "sun" : theme === "dark" ? "moon" : "system"} />
          </button>
          <button type="button" class="quiet quiet-text" lang={language === "en" ? "pt" : "en"} aria-label={`${language === "en" ? "PT" : "EN"}: ${t("language")}`} title={t("language")} onClick={() => setLanguage(language === "en" ? "pt" : "en")}>
            {language === "en" ? "PT" : "EN"}
          </button>
        </div>
      </header>
      <main id="content" tabIndex={-1} class={`view view-${route.view}`}>
        {route.view === "explore" && <Explore route={route} feed={feed} attempt={attempt} />}
        {route.view === "live" && <Live key={attempt} feed={feed} />}
        {route.view === "operations" && <Operations key={attempt} />}
      </main>
      {asking && (
        <KeyDialog
          onClose={(changed) => {
            setAsking(false);
            if (!changed) return;
            // What a key had shown goes with it: whoever has the next one may not see it.
            feed.reset();
            forgetAll();
            forgetTexts();
            if (route.view !== "explore") explored.current = null;
            setKeyed(apiKey.get() !== "");
            setAttempt((before) => before + 1);
          }}
        />
      )}
    </WordsContext.Provider>
  );
}

function Brand() {
  return (
    <svg width="26" height="26" viewBox="0 0 32 32" aria-hidden="true">
      <rect width="32" height="32" rx="8" fill="#0f5f59" />
      <path d="M11 10l11 6-11 7" fill="none" stroke="#9be8dc" stroke-width="2" />
      <circle cx="10.500" cy="9.500" r="4" fill="#fff" />
      <rect x="18.500" y="12.500" width="7" height="7" rx="1" fill="#ffd479" />
      <path d="M10.500 18l4.500 4.500-4.500 4.500L6 22.500z" fill="#9be8dc" />
    </svg>
  );
}
