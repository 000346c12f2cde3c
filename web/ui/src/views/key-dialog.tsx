import { useEffect, useRef, useState } from "preact/hooks";
import { apiKey } from "../lib/api";
import { useWords } from "../words";

/** Asks for the API key. `onClose` is told whether it changed. */
export function KeyDialog({ onClose }: { readonly onClose: (changed: boolean) => void }) {
  const { t } = useWords();
  const dialog = useRef<HTMLDialogElement>(null);
  const [key, setKey] = useState(apiKey.get);
  const changed = useRef(false);
  useEffect(() => dialog.current?.showModal(), []);
  // The dialog closes itself, so that the focus goes back to where it was.
  const close = (): void => dialog.current?.close();
  const keep = (value: string): void => {
    const before = apiKey.get();
    apiKey.set(value.trim());
    changed.current = apiKey.get() !== before;
    close();
  };
  return (
    <dialog ref={dialog} class="dialog" aria-labelledby="key-title" onClose={() => onClose(changed.current)}>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          keep(key);
        }}
      >
        <h2 id="key-title">{t("apiKey")}</h2>
        <p id="key-hint" class="muted">{t("apiKeyHint")}</p>
        <input
          class="field"
          type="password"
          autocomplete="off"
          spellcheck={false}
          aria-label={t("apiKey")}
          aria-describedby="key-hint"
          value={key}
          onInput={(event) => setKey(event.currentTarget.value)}
        />
        <div class="dialog-buttons">
          {apiKey.get() && <button type="button" class="button" onClick={() => keep("")}>{t("remove")}</button>}
          <button type="button" class="button" onClick={close}>{t("cancel")}</button>
          <button type="submit" class="button button-main">{t("save")}</button>
        </div>
      </form>
    </dialog>
  );
}
