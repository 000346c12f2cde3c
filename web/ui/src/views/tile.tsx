import { useWords } from "../words";

interface Props {
  readonly label: string;
  /** Null where nothing tells it. */
  readonly value: string | null;
  readonly history: readonly (number | null)[];
  /** The scale's end; else the largest value. */
  readonly top?: number;
  readonly note?: string;
  readonly bad?: boolean;
}

const WIDTH = 160;
const HEIGHT = 34;
const FEWEST = 12; // steps across the line

/** One number, and how it came to be. */
export function Tile({ label, value, history, top, note, bad }: Props) {
  const { t } = useWords();
  const known = history.filter((one): one is number => one !== null);
  const high = top ?? Math.max(1e-9, ...known);
  const step = WIDTH / Math.max(FEWEST, history.length - 1);
  let pen = "M";
  const path = history
    .map((one, index) => {
      if (one === null) {
        pen = "M";
        return "";
      }
      const x = WIDTH - (history.length - 1 - index) * step;
      const text = `${pen}${x.toFixed(1)} ${(HEIGHT - 2 - (one / high) * (HEIGHT - 6)).toFixed(1)}`;
      pen = "L";
      return text;
    })
    .join("");
  return (
    <div class={`tile ${bad ? "tile-bad" : ""}`}>
      <p class="tile-label">{label}</p>
      <p class={value === null ? "tile-value tile-none" : "tile-value"}>{value ?? t("opsNotTold")}</p>
      {note && <p class="tile-note muted">{note}</p>}
      {known.length > 1 && (
        <svg class="tile-line" viewBox={`0 0 ${WIDTH} ${HEIGHT}`} preserveAspectRatio="none" aria-hidden="true">
          <path d={path} vector-effect="non-scaling-stroke" />
        </svg>
      )}
    </div>
  );
}
