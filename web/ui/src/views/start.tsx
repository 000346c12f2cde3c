/** What is there before the first search. */

import { DEFAULT_DEPTH, writeRoute, type Search } from "../lib/route";
import { useWords } from "../words";
import { labelOf, recent } from "./recent";

const EXAMPLES: readonly Search[] = [
  { by: "property", property: "email", value: "joao@email.com" },
  { by: "property", property: "department", value: "Finance" },
  { by: "id", id: "1" },
];

export function Start() {
  const { t } = useWords();
  const known = recent();
  return (
    <div class="middle">
      <div class="start">
        <Sketch />
        <h2>{t("startTitle")}</h2>
        <p class="muted">{t("startText")}</p>
        <p class="start-label" id="examples">{t("startExamples")}</p>
        <ul class="chips" aria-labelledby="examples">
          {(known.length > 0 ? known : EXAMPLES).map((search) => (
            <li key={labelOf(search)}>
              <a class="chip" href={writeRoute({ view: "explore", search, depth: DEFAULT_DEPTH, period: "" })}>{labelOf(search)}</a>
            </li>
          ))}
        </ul>
      </div>
    </div>
  );
}

function Sketch() {
  return (
    <svg class="sketch" width="220" height="120" viewBox="0 0 220 120" aria-hidden="true">
      <path class="sketch-line" d="M46 60C90 60 80 24 122 24M46 60h76M46 60C90 60 80 96 122 96M122 24c34 0 30-8 62-8M122 24c34 0 30 16 62 16M122 96c34 0 30-4 62-4" />
      <circle class="kind-0" cx="40" cy="60" r="17" />
      <rect class="kind-1" x="111" y="13" width="22" height="22" rx="3" />
      <path class="kind-2" d="M122 47l13 13-13 13-13-13z" />
      <path class="kind-3" d="M116 85h12l6 11-6 11h-12l-6-11z" />
      <path class="kind-4" d="M186 7l10 17h-20z" />
      <circle class="kind-0" cx="186" cy="42" r="9" />
      <path class="kind-5" d="M186 82l10 7-4 12h-12l-4-12z" />
    </svg>
  );
}
