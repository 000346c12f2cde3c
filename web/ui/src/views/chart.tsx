/** A series as bars, or as a line where there are many; pointer and arrow keys read single values. */

import { useEffect, useRef, useState } from "preact/hooks";
import { compact, period } from "../lib/format";
import { scaleOf, type Sample } from "../lib/series";
import { useWords } from "../words";

interface Props {
  readonly title: string;
  readonly samples: readonly Sample[];
  readonly granularity: string;
  readonly tone: number;
}

const HEIGHT = 118;
const TOP = 8;
const BOTTOM = 20;
const LEFT = 46;
const RIGHT = 6;
const MOST_BARS = 60;

export function Chart({ title, samples, granularity, tone }: Props) {
  const { language, t } = useWords();
  const frame = useRef<HTMLDivElement>(null);
  const [width, setWidth] = useState(340);
  const [at, setAt] = useState<number | null>(null);
  useEffect(() => {
    const follow = new ResizeObserver(([entry]) => setWidth(Math.max(200, entry!.contentRect.width)));
    follow.observe(frame.current!);
    return () => follow.disconnect();
  }, []);

  const scale = scaleOf(samples.map((sample) => sample.value));
  const inner = width - LEFT - RIGHT;
  const first = samples[0]!.time;
  const span = Math.max(1, samples[samples.length - 1]!.time - first);
  const bars = samples.length <= MOST_BARS;
  const slot = inner / samples.length;
  const x = (index: number): number =>
    bars ? LEFT + slot * (index + 0.5) : LEFT + ((samples[index]!.time - first) / span) * inner;
  const y = (value: number): number =>
    TOP + (1 - (value - scale.low) / (scale.high - scale.low)) * (HEIGHT - TOP - BOTTOM);

  const shown = samples[at ?? samples.length - 1]!;
  const label = period(language, shown.date, granularity);
  const ends = [0, samples.length - 1].map((index) => period(language, samples[index]!.date, granularity));
  const nearest = (event: PointerEvent): void => {
    const box = (event.currentTarget as Element).getBoundingClientRect();
    const wanted = event.clientX - box.left;
    let best = 0;
    for (let index = 1; index < samples.length; index++) {
      if (Math.abs(x(index) - wanted) < Math.abs(x(best) - wanted)) best = index;
    }
    setAt(best);
  };
  const onKeyDown = (event: KeyboardEvent): void => {
    const step = event.key === "ArrowRight" ? 1 : event.key === "ArrowLeft" ? -1 : 0;
    if (!step) return;
    event.preventDefault();
    setAt(Math.min(samples.length - 1, Math.max(0, (at ?? samples.length - (step < 0 ? 0 : 1)) + step)));
  };
  const line = bars ? "" : samples.map((sample, index) => `${index ? "L" : "M"}${x(index).toFixed(1)} ${y(sample.value).toFixed(1)}`).join("");
  return (
    <figure class={`chart tone-${tone}`} data-series={title}>
      <figcaption>
        <span class="chart-title">{title}</span>
        <span class="chart-value"><output>{shown.text}</output> <span class="muted">{at === null ? `${t("latest")}, ${label}` : label}</span></span>
      </figcaption>
      <div ref={frame} class="chart-frame">
        <svg
          width={width}
          height={HEIGHT}
          role="img"
          tabIndex={0}
          aria-label={`${title}: ${label}, ${shown.text}`}
          onPointerMove={nearest}
          onPointerLeave={() => setAt(null)}
          onBlur={() => setAt(null)}
          onKeyDown={onKeyDown}
        >
          {scale.ticks.map((tick) => (
            <g key={tick}>
              <line class="chart-grid" x1={LEFT} x2={width - RIGHT} y1={y(tick)} y2={y(tick)} />
              <text class="chart-tick" x={LEFT - 8} y={y(tick) + 3.5} text-anchor="end">{compact(language, tick)}</text>
            </g>
          ))}
          {bars ? (
            samples.map((sample, index) => (
              <rect
                key={index}
                class={at === index ? "chart-bar chart-bar-on" : "chart-bar"}
                x={x(index) - Math.min(slot * 0.35, 14)}
                width={Math.max(1, Math.min(slot * 0.7, 28))}
                y={Math.min(y(sample.value), y(0))}
                height={Math.max(1, Math.abs(y(sample.value) - y(0)))}
                rx={Math.min(2, slot * 0.2)}
              />
            ))
          ) : (
            <>
              <path class="chart-area" d={`${line}L${x(samples.length - 1)} ${y(0)}L${x(0)} ${y(0)}Z`} />
              <path class="chart-line" d={line} />
              {at !== null && <circle class="chart-spot" cx={x(at)} cy={y(shown.value)} r={4} />}
            </>
          )}
          <text class="chart-tick" x={LEFT} y={HEIGHT - 5}>{ends[0]}</text>
          {samples.length > 1 && <text class="chart-tick" x={width - RIGHT} y={HEIGHT - 5} text-anchor="end">{ends[1]}</text>}
        </svg>
      </div>
    </figure>
  );
}
