import { kindOf, outline } from "./lib/kinds";

/** An entity type's shape in its colour; the type's name stands beside it. */
export function KindMark({ type, size = 16 }: { readonly type: string; readonly size?: number }) {
  const { shape, colour } = kindOf(type);
  return (
    <svg class={`kind kind-${colour}`} width={size} height={size} viewBox="0 0 16 16" aria-hidden="true">
      <path d={outline(shape, 6, 8, shape === "triangle" ? 9 : 8)} />
    </svg>
  );
}
