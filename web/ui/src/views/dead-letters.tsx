/** Records that could not be processed, and their replay. */

import { useEffect, useRef, useState } from "preact/hooks";
import { Icon } from "../icons";
import { ApiError, request } from "../lib/api";
import { idOf, readDeadLetters, replayPath, type DeadLetter } from "../lib/dead-letters";
import { dateTime } from "../lib/format";
import { useWords } from "../words";
import { Problem } from "./problem";

const MOST = 100;

export function DeadLetters() {
  const { t } = useWords();
  const [letters, setLetters] = useState<readonly DeadLetter[] | null>(null);
  const [known, setKnown] = useState<readonly string[]>([]);
  const [failure, setFailure] = useState<unknown>(null);
  const [topic, setTopic] = useState("");
  const [again, setAgain] = useState(0);

  useEffect(() => {
    const abort = new AbortController();
    setFailure(null);
    request(`/v1/dead-letters?limit=${MOST}${topic ? `&topic=${encodeURIComponent(topic)}` : ""}`, { signal: abort.signal }).then(
      ({ json }) => {
        const found = readDeadLetters(json);
        setLetters(found);
        setKnown((before) => [...new Set([...before, ...found.map((letter) => letter.topic)])].sort());
      },
      (error: unknown) => !abort.signal.aborted && (setFailure(error), setLetters(null)),
    );
    return () => abort.abort();
  }, [topic, again]);

  const missing = failure instanceof ApiError && (failure.status === 404 || failure.status === 405);
  return (
    <section class="card">
      <div class="card-head">
        <div>
          <h2 id="dead-letters">{t("dlqTitle")}</h2>
          <p class="muted">{t("dlqText")}</p>
        </div>
        {!missing && (
          <div class="card-tools">
            <select class="field" aria-label={t("dlqTopic")} value={topic} onChange={(event) => setTopic(event.currentTarget.value)}>
              <option value="">{t("dlqAll")}</option>
              {known.map((name) => <option key={name} value={name}>{name}</option>)}
            </select>
            <button type="button" class="tool" aria-label={t("dlqReload")} title={t("dlqReload")} onClick={() => setAgain(again + 1)}>
              <Icon name="again" />
            </button>
          </div>
        )}
      </div>
      {missing && <p class="empty" role="status">{t("dlqMissing")}</p>}
      {failure !== null && !missing && <Problem error={failure} onRetry={() => setAgain(again + 1)} />}
      {letters?.length === 0 && <p class="empty"><strong>{t("dlqEmpty")}.</strong> {t("dlqEmptyText")}</p>}
      {letters && letters.length > 0 && (
        <div class="scroll" tabIndex={0} role="region" aria-labelledby="dead-letters">
          <table class="table letters">
            <thead>
              <tr>
                <th scope="col">{t("dlqRecord")}</th>
                <th scope="col">{t("dlqReason")}</th>
                <th scope="col">{t("dlqTime")}</th>
                <th scope="col">{t("dlqAction")}</th>
              </tr>
            </thead>
            <tbody>{letters.map((letter) => <Row key={idOf(letter)} letter={letter} />)}</tbody>
          </table>
        </div>
      )}
    </section>
  );
}

function Row({ letter }: { readonly letter: DeadLetter }) {
  const { language, t } = useWords();
  const [state, setState] = useState<"there" | "asked" | "sending" | "sent">("there");
  const [failure, setFailure] = useState<unknown>(null);
  const asked = useRef(false); // whoever cancels by keyboard is where they were
  const replay = async (): Promise<void> => {
    setState("sending");
    setFailure(null);
    try {
      await request(replayPath(letter), { method: "POST", text: true });
      setState("sent");
    } catch (error) {
      setFailure(error);
      setState("there");
    }
  };
  return (
    <tr>
      <th scope="row"><code>{idOf(letter)}</code>{letter.key && <span class="muted letter-key">{letter.key}</span>}</th>
      <td class="letter-reason">
        {letter.error && <span class="badge badge-bad">{letter.error}</span>} {letter.reason}
        {failure !== null && <Problem error={failure} />}
      </td>
      <td class="nowrap">{letter.time ? dateTime(language, letter.time) : "–"}</td>
      <td class="nowrap">
        {state === "there" && <button type="button" class="button" aria-label={`${t("dlqReplay")} ${idOf(letter)}`} ref={(button) => void (asked.current && button?.focus())} onClick={() => ((asked.current = true), setState("asked"))}>{t("dlqReplay")}</button>}
        {state === "asked" && (
          <span class="confirm" role="group" aria-label={t("dlqConfirm", { id: idOf(letter) })}>
            <button type="button" class="button button-main" ref={(button) => button?.focus()} onClick={() => void replay()}>{t("dlqReplay")}</button>
            <button type="button" class="button" onClick={() => setState("there")}>{t("cancel")}</button>
          </span>
        )}
        {state === "sending" && <span role="status">{t("dlqReplaying")}</span>}
        {state === "sent" && <span role="status" class="good">{t("dlqReplayed")}</span>}
      </td>
    </tr>
  );
}
