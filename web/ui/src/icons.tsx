/** Line icons, drawn for this page. */

const PATHS = {
  search: "M7 12.5a5.5 5.5 0 1 0 0-11 5.5 5.5 0 0 0 0 11ZM11 11l3.5 3.5",
  plus: "M8 3v10M3 8h10",
  minus: "M3 8h10",
  fit: "M2 5.5V2h3.5M10.5 2H14v3.5M14 10.5V14h-3.5M5.5 14H2v-3.5",
  unfold: "M8 6.5V2M5.5 4 8 1.5 10.5 4M8 9.5V14M5.5 12 8 14.5l2.5-2.5M2 8h12",
  fold: "M8 1.5V5.5M5.5 3.5 8 6l2.5-2.5M8 14.5v-4M5.5 12.5 8 10l2.5 2.5M2 8h12",
  columns: "M2 6h3.5v4H2zM10.5 2H14v4h-3.5zM10.5 10H14v4h-3.5zM5.5 8h2.5M8 4v8M8 4h2.5M8 12h2.5",
  rings: "M8 9.5a1.5 1.5 0 1 0 0-3 1.5 1.5 0 0 0 0 3ZM8 14A6 6 0 1 0 8 2a6 6 0 0 0 0 12Z",
  graph: "M4 5.5a1.8 1.8 0 1 0 0-3.6 1.8 1.8 0 0 0 0 3.6ZM12 9.8a1.8 1.8 0 1 0 0-3.6 1.8 1.8 0 0 0 0 3.6ZM4 14.1a1.8 1.8 0 1 0 0-3.6 1.8 1.8 0 0 0 0 3.6ZM5.6 4.5l4.8 2.7M5.6 11.4l4.8-2.6",
  pulse: "M1 8h3l2-5.5 3.5 11L11.5 8H15",
  gauge: "M2.3 12.5a6.5 6.5 0 1 1 11.4 0M8 9.5l3-3.5",
  key: "M5 11.5a3 3 0 1 0 0-6 3 3 0 0 0 0 6ZM8 8.5h6.5M12 8.5v3M14.5 8.5v2",
  sun: "M8 11a3 3 0 1 0 0-6 3 3 0 0 0 0 6ZM8 1v1.5M8 13.5V15M1 8h1.5M13.5 8H15M3 3l1 1M12 12l1 1M13 3l-1 1M4 12l-1 1",
  moon: "M13.5 9.8A6 6 0 0 1 6.2 2.5a6 6 0 1 0 7.3 7.3Z",
  system: "M2 2.5h12v8.5H2zM5.5 14h5M8 11v3",
  copy: "M5.5 5.5h8v8h-8zM10.5 5.5v-3h-8v8h3",
  check: "M2.5 8.5 6 12l7.5-8",
  play: "M4.5 2.5v11l8.5-5.5z",
  pause: "M5 3v10M11 3v10",
  close: "M3.5 3.5l9 9M12.5 3.5l-9 9",
  previous: "M10 3 5 8l5 5",
  next: "M6 3l5 5-5 5",
  root: "M8 2v9M4.5 5.5 8 2l3.5 3.5M3 14h10",
  again: "M13 8a5 5 0 1 1-1.5-3.5M13 2v3h-3",
} as const;

export function Icon({ name, size = 16 }: { readonly name: keyof typeof PATHS; readonly size?: number }) {
  return (
    <svg class="icon" width={size} height={size} viewBox="0 0 16 16" aria-hidden="true">
      <path d={PATHS[name]} />
    </svg>
  );
}
