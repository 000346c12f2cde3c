/** The picture's colours, from the style sheet, so that both themes have one source. */

export interface Palette {
  readonly surface: string;
  readonly ground: string;
  readonly ink: string;
  readonly muted: string;
  readonly line: string;
  readonly edge: string;
  readonly accent: string;
  readonly warn: string;
  readonly bad: string;
  readonly flash: string;
  readonly kinds: readonly string[];
  readonly font: string;
}

export function paletteOf(element: Element): Palette {
  const style = getComputedStyle(element);
  const colour = (name: string): string => style.getPropertyValue(`--${name}`).trim();
  return {
    surface: colour("surface"),
    ground: colour("ground"),
    ink: colour("ink"),
    muted: colour("muted"),
    line: colour("line"),
    edge: colour("edge"),
    accent: colour("accent"),
    warn: colour("warn"),
    bad: colour("bad"),
    flash: colour("flash"),
    kinds: Array.from({ length: 8 }, (_, index) => colour(`kind-${index}`)),
    font: style.fontFamily,
  };
}
