/** Entity types by colour and shape: what colour tells, the shape tells too. */

export type Shape = "circle" | "square" | "diamond" | "hexagon" | "triangle" | "pentagon" | "star" | "cross";

export interface Kind {
  readonly shape: Shape;
  /** An index into the palette, `--kind-0` … `--kind-7`. */
  readonly colour: number;
}

const SHAPES: readonly Shape[] = ["circle", "square", "diamond", "hexagon", "triangle", "pentagon", "star", "cross"];
const KNOWN: Readonly<Record<string, Kind>> = {
  user: { shape: "circle", colour: 0 },
  customer: { shape: "circle", colour: 0 },
  person: { shape: "circle", colour: 0 },
  employee: { shape: "star", colour: 6 },
  organization: { shape: "square", colour: 1 },
  company: { shape: "square", colour: 1 },
  merchant: { shape: "square", colour: 6 },
  device: { shape: "diamond", colour: 2 },
  segment: { shape: "hexagon", colour: 3 },
  affiliation: { shape: "triangle", colour: 4 },
  subscription: { shape: "pentagon", colour: 4 },
  account: { shape: "pentagon", colour: 5 },
  product: { shape: "star", colour: 6 },
  campaign: { shape: "triangle", colour: 3 },
  unknown: { shape: "cross", colour: 7 },
};

/** The same type has the same kind in every picture. */
export function kindOf(type: string): Kind {
  if (Object.hasOwn(KNOWN, type)) return KNOWN[type]!;
  let hash = 2166136261;
  for (const sign of type) hash = Math.imul(hash ^ sign.codePointAt(0)!, 16777619) >>> 0;
  // Not that of `unknown`; colour and shape by different digits, so that fewer types share both.
  return { shape: SHAPES[hash % 7]!, colour: Math.floor(hash / 7) % 7 };
}

const polygon = (corners: number, turn: number, size: number): [number, number][] =>
  Array.from({ length: corners }, (_, index) => {
    const angle = (index / corners) * 2 * Math.PI + turn;
    return [Math.cos(angle) * size, Math.sin(angle) * size];
  });

/** The corners around (0, 0), about as large as a circle of radius 1; null for the circle. */
export const CORNERS: Readonly<Record<Shape, readonly [number, number][] | null>> = {
  circle: null,
  square: polygon(4, Math.PI / 4, 1.24),
  diamond: polygon(4, 0, 1.25),
  hexagon: polygon(6, 0, 1.12),
  triangle: polygon(3, -Math.PI / 2, 1.32),
  pentagon: polygon(5, -Math.PI / 2, 1.16),
  star: Array.from({ length: 10 }, (_, index) => {
    const angle = (index / 10) * 2 * Math.PI - Math.PI / 2;
    const size = index % 2 ? 0.6 : 1.32;
    return [Math.cos(angle) * size, Math.sin(angle) * size] as [number, number];
  }),
  cross: (
    [[-0.4, -1.1], [0.4, -1.1], [0.4, -0.4], [1.1, -0.4], [1.1, 0.4], [0.4, 0.4],
     [0.4, 1.1], [-0.4, 1.1], [-0.4, 0.4], [-1.1, 0.4], [-1.1, -0.4], [-0.4, -0.4]] as [number, number][]
  ),
};

/** SVG path data of a shape of this size around a centre. */
export function outline(shape: Shape, size: number, x: number, y: number): string {
  const corners = CORNERS[shape];
  if (!corners) return `M${x - size} ${y}a${size} ${size} 0 1 0 ${2 * size} 0a${size} ${size} 0 1 0 ${-2 * size} 0Z`;
  return corners.map(([cx, cy], index) => `${index ? "L" : "M"}${round(x + cx * size)} ${round(y + cy * size)}`).join("") + "Z";
}

const round = (value: number): number => Math.round(value * 100) / 100;
