/** An error as a sentence with a way out. */

import { ApiError } from "../lib/api";
import type { Word } from "../lib/i18n";
import { useWords } from "../words";

const OWN: Readonly<Record<number, Word>> = { 0: "errNetwork", 401: "err401", 403: "err403", 429: "err429" };

export function Problem({ error, onRetry }: { readonly error: unknown; readonly onRetry?: () => void }) {
  const { t } = useWords();
  const problem = error instanceof ApiError ? error : new ApiError(0, String(error), String(error), "");
  const own = OWN[problem.status];
  const sentence = own ? t(own) : problem.detail || t("errNotJson", { status: problem.status });
  const title = problem.title || t(problem.status === 404 ? "errNotFoundTitle" : "errTitle");
  return (
    <div class="notice notice-error" role="alert">
      <h2>{title}</h2>
      <p>{sentence}</p>
      {own && problem.detail && <p class="muted">{problem.detail}</p>}
      <p class="notice-foot">
        {problem.status > 0 && <span class="badge">HTTP {problem.status}</span>}
        {problem.requestId && <span class="muted">{t("errRequestId")} <code>{problem.requestId}</code></span>}
      </p>
      {onRetry && <button type="button" class="button" onClick={onRetry}>{t("retry")}</button>}
    </div>
  );
}
