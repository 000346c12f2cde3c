import { useState } from "preact/hooks";
import { Icon } from "../icons";
import { useWords } from "../words";

/** Copies a text, and says that it did. */
export function CopyButton({ text, label }: { readonly text: () => string; readonly label?: string }) {
  const { t } = useWords();
  const [told, setTold] = useState<"copied" | "copyFailed" | null>(null);
  const copy = async (): Promise<void> => {
    try {
      await navigator.clipboard.writeText(text());
      setTold("copied");
    } catch {
      setTold("copyFailed");
    }
    setTimeout(() => setTold(null), 2000);
  };
  return (
    <button type="button" class="copy" aria-label={label ?? t("copy")} title={label ?? t("copy")} onClick={() => void copy()}>
      <Icon name={told === "copied" ? "check" : "copy"} />
      <span role="status">{told ? t(told) : label ? "" : t("copy")}</span>
    </button>
  );
}
