/** The change feed as one tree sees it: what changed flashes, and is read again; who is gone is taken away. */

import { useEffect, useRef, useState } from "preact/hooks";
import { request } from "../lib/api";
import { displayName } from "../lib/entity";
import type { Feed, FeedState } from "../lib/feed";
import { meaningOf, reread } from "../lib/follow";
import type { Word } from "../lib/i18n";
import type { Json } from "../lib/json";
import { pathOf } from "../lib/route";
import type { Tree } from "../lib/tree";
import { forgetTexts } from "../picture/strokes";

/** For screen readers. */
interface Told {
  readonly word: Word;
  readonly name: string;
  readonly atMs: number;
}

export interface Following {
  readonly on: boolean;
  readonly state: FeedState;
  readonly flashing: { readonly keys: readonly string[]; readonly count: number };
  readonly last: readonly Told[];
  readonly toggle: () => void;
  /** Take the entity away; its events, too. */
  readonly erase: (id: string) => void;
}

const GATHER_MS = 400; // changes of one commit come as several events

/** `onErased` is told before `onChange`. */
export function useFollowing(feed: Feed, tree: Tree, period: string, onChange: () => void, onErased: (id: string) => void): Following {
  const [on, setOn] = useState(feed.running);
  const [state, setState] = useState<FeedState>(feed.state);
  const [flashing, setFlashing] = useState<Following["flashing"]>({ keys: [], count: 0 });
  const [last, setLast] = useState<readonly Told[]>([]);
  const due = useRef(new Set<string>());
  const timer = useRef<ReturnType<typeof setTimeout> | null>(null);
  const told = useRef({ onChange, onErased });
  told.current = { onChange, onErased };

  const read = async (id: string): Promise<Json> => (await request(pathOf({ by: "id", id }, 1, period))).json;
  const rereadDue = async (): Promise<void> => {
    timer.current = null;
    const keys = [...due.current];
    due.current.clear();
    for (const key of keys) {
      const node = tree.find(key);
      if (node && !node.entity.erased && (await reread(tree, node, read))) erase(node.entity.id);
    }
    told.current.onChange();
    setFlashing((before) => ({ keys, count: before.count + 1 }));
  };
  // What comes at once is told together: the last word alone would be heard.
  const tell = (word: Word, name: string): void => {
    const atMs = performance.now();
    setLast((before) => [...before.filter((one) => atMs - one.atMs < GATHER_MS && (one.word !== word || one.name !== name)), { word, name, atMs }]);
  };
  const plan = (key: string): void => {
    due.current.add(key);
    timer.current ??= setTimeout(() => void rereadDue(), GATHER_MS);
  };
  const erase = (id: string): void => {
    const gone = tree.full.get(id);
    if (!gone) return;
    const name = displayName(gone.entity);
    feed.forget(gone.entity.type, gone.entity.reference);
    forgetTexts();
    for (const node of tree.erase(id)) plan(node.key);
    setLast((before) => before.filter((one) => one.name !== name));
    told.current.onErased(id);
    told.current.onChange();
    tell("liveErased", displayName(gone.entity)); // its id: the name is gone
    setFlashing((before) => ({ keys: [gone.key], count: before.count + 1 }));
  };

  useEffect(() => {
    const end = feed.listen((event) => {
      if (!event) return setState(feed.state);
      const { erased, reread: changed } = meaningOf(event, tree);
      for (const node of changed) {
        plan(node.key);
        tell("liveChanged", displayName(node.entity));
      }
      for (const id of erased) erase(id);
    });
    return () => {
      end();
      if (timer.current) clearTimeout(timer.current);
      timer.current = null;
    };
  }, [feed, tree]);

  const toggle = (): void => {
    if (on) feed.stop();
    else feed.start();
    setOn(!on);
  };
  return { on, state, flashing, last, toggle, erase };
}
