/** The worker's own state, read again and again. */

import { useEffect, useState } from "preact/hooks";
import { Icon } from "../icons";
import { request } from "../lib/api";
import { bytes, clockTime, number, seconds } from "../lib/format";
import {
  connectorOf, hitRatioSinceStart, ratesOf, readingOf, readReadiness, replicaLagBytes, topicsOf,
  type Rates, type Reading, type Readiness,
} from "../lib/readings";
import { useWords } from "../words";
import { DeadLetters } from "./dead-letters";
import { Problem } from "./problem";
import { Tile } from "./tile";
import { Topics } from "./topics";

const EVERY_S = 2;
const KEPT = 90;
const WINDOW = 6; // rates are over 10 s

interface Seen {
  readonly at: Date;
  readonly readiness: Readiness | null;
  readonly readings: readonly Reading[];
  readonly rates: readonly Rates[];
}

export function Operations() {
  const { language, t } = useWords();
  const [seen, setSeen] = useState<Seen | null>(null);
  const [failure, setFailure] = useState<unknown>(null);

  useEffect(() => {
    const abort = new AbortController();
    let timer: ReturnType<typeof setTimeout>;
    const ask = async (): Promise<void> => {
      try {
        const { signal } = abort;
        const [page, ready] = await Promise.all([
          request("/metrics", { text: true, signal }),
          request("/readyz", { alsoOk: [503], text: true, signal }),
        ]);
        const reading = readingOf(page.text, performance.now());
        const readiness = readReadiness(ready.text);
        setSeen((before) => follow(before, reading, readiness));
        setFailure(null);
      } catch (error) {
        if (!abort.signal.aborted) setFailure(error);
      }
      if (!abort.signal.aborted) timer = setTimeout(() => void ask(), document.hidden ? 10_000 : EVERY_S * 1000);
    };
    void ask();
    return () => {
      abort.abort();
      clearTimeout(timer);
    };
  }, []);

  const last = seen?.rates[seen.rates.length - 1];
  const history = (pick: (rates: Rates) => number | null): (number | null)[] => seen?.rates.map(pick) ?? [];
  const readiness = seen?.readiness ?? null;
  const ready = readiness?.ready && failure === null; // what was ready may not answer any more
  const sinceStart = seen ? hitRatioSinceStart(seen.readings[seen.readings.length - 1]!.metrics) : null;
  const hits = last?.hitRatio ?? sinceStart;
  const connector = readiness && connectorOf(readiness);
  const replica = readiness && replicaLagBytes(readiness);
  return (
    <div class="board">
      <header class="board-head">
        <div>
          <h1>{t("opsTitle")}</h1>
          <p class="muted">{t("opsText")}</p>
        </div>
        {readiness && (
          <p class={`verdict ${ready ? "verdict-good" : "verdict-bad"}`} role="status">
            <Icon name={ready ? "check" : "close"} /> {t(ready ? "opsReady" : failure === null ? "opsNotReady" : "opsNoAnswer")}
          </p>
        )}
      </header>
      {failure !== null && <Problem error={failure} />}
      {!seen && failure === null && <p class="empty" role="status"><span class="spinner" /> {t("loading")}</p>}
      {seen && (
        <>
          <div class="tiles">
            <Tile label={t("opsRecords")} value={last ? number(language, last.recordsPerS, last.recordsPerS < 10 ? 1 : 0) : "–"} history={history((r) => r.recordsPerS)} />
            <Tile label={t("opsLag")} value={last?.lag == null ? null : number(language, last.lag)} history={history((r) => r.lag)} />
            <Tile label={t("opsCache")} value={hits === null ? null : `${number(language, hits * 100, 1)} %`} history={history((r) => r.hitRatio)} top={1} />
            <Tile label={t("opsRequests")} value={last ? number(language, last.requestsPerS, last.requestsPerS < 10 ? 1 : 0) : "–"} history={history((r) => r.requestsPerS)} />
            <Tile label={t("opsLatency")} value={last?.p99S == null ? null : seconds(language, last.p99S)} history={history((r) => r.p99S)} />
            <Tile label={t("opsMemory")} value={last?.memoryBytes == null ? null : bytes(language, last.memoryBytes)} history={history((r) => r.memoryBytes)} />
            <Tile label={t("opsReplica")} value={replica == null ? null : bytes(language, replica)} history={[]} />
            <Tile label={t("opsConnector")} value={connector ? t(connector.ready ? "opsOk" : "opsFailing") : null} history={[]} {...(connector ? { note: connector.detail } : {})} bad={connector?.ready === false} />
            {last?.cdcLagS != null && <Tile label={t("opsCdcLag")} value={seconds(language, last.cdcLagS)} history={history((r) => r.cdcLagS)} />}
          </div>
          <div class="pair">
            <section class="card">
              <h2>{t("opsDependencies")}</h2>
              <ul class="dependencies">
                {readiness?.dependencies.map((one) => (
                  <li key={`${one.process} ${one.name}`}>
                    <span class={`state ${one.ready ? "state-good" : one.required ? "state-bad" : "state-warn"}`}>
                      <Icon name={one.ready ? "check" : "close"} size={12} />
                      <span class="unseen">{t(one.ready ? "opsOk" : "opsFailing")}</span>
                    </span>
                    <span class="dependency-name">{one.process ? `${one.process}: ${one.name}` : one.name}</span>
                    <span class="badge">{t(one.required ? "opsRequired" : "opsOptional")}</span>
                    <span class="muted dependency-detail">{one.detail}</span>
                  </li>
                ))}
              </ul>
            </section>
            <section class="card">
              <h2>{t("opsTopics")}</h2>
              <Topics rows={topicsOf(seen.readings[0]!, seen.readings[seen.readings.length - 1]!)} />
            </section>
          </div>
        </>
      )}
      <DeadLetters />
      {seen && (
        <p class="muted board-foot">
          {failure === null ? `${t("opsEvery", { seconds: EVERY_S })} · ${clockTime(language, seen.at)} UTC` : t("opsStale", { time: `${clockTime(language, seen.at)} UTC` })}
        </p>
      )}
    </div>
  );
}

function follow(before: Seen | null, reading: Reading, readiness: Readiness): Seen {
  const readings = [...(before?.readings ?? []), reading].slice(-WINDOW);
  // The first reading alone has no rates: what stood in their place goes when there are some.
  const known = readings.length > 2 ? before!.rates : [];
  return { at: new Date(), readiness, readings, rates: [...known, ratesOf(readings[0]!, reading)].slice(-KEPT) };
}
