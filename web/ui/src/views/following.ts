/** The change feed as one tree sees it: what changed flashes, and is read again. */

import { useEffect, useRef, useState } from "preact/hooks";
import { request } from "../lib/api";
import { displayName, readEntity } from "../lib/entity";
import type { Feed, FeedState } from "../lib/feed";
import { pathOf } from "../lib/route";
import type { Tree } from "../lib/tree";

export interface Following {
  readonly on: boolean;
  readonly state: FeedState;
  readonly flashing: { readonly keys: readonly string[]; readonly count: number };
  readonly last: string;
  readonly toggle: () => void;
}

const GATHER_MS = 400; // changes of one commit come as several events

export function useFollowing(feed: Feed, tree: Tree, onChange: () => void, period: string): Following {
  const [on, setOn] = useState(feed.running);
  const [state, setState] = useState<FeedState>(feed.state);
  const [flashing, setFlashing] = useState<Following["flashing"]>({ keys: [], count: 0 });
  const [last, setLast] = useState("");
  const due = useRef(new Set<string>());
  const timer = useRef<ReturnType<typeof setTimeout> | null>(null);
  const changed = useRef(onChange);
  changed.current = onChange;

  useEffect(() => {
    const reread = async (): Promise<void> => {
      timer.current = null;
      const keys = [...due.current];
      due.current.clear();
      for (const key of keys) {
        const node = tree.find(key);
        if (!node) continue;
        try {
          const answer = await request(pathOf({ by: "id", id: node.entity.id }, 1, period));
          const fresh = readEntity(answer.json);
          const sameEdges =
            fresh.edges.length === node.entity.edges.length &&
            fresh.edges.every((edge, index) => edge.entity.id === node.entity.edges[index]!.entity.id && edge.type === node.entity.edges[index]!.type);
          // Where its relationships are the same, what was loaded and collapsed below stays.
          if (sameEdges || node.edge_of_answer) node.entity = { ...fresh, edges: node.edge_of_answer ? [] : node.entity.edges };
          else tree.merge(node, fresh, 1);
        } catch {
          // The next change, or the next read, will tell.
        }
      }
      changed.current();
      setFlashing((before) => ({ keys, count: before.count + 1 }));
    };
    const end = feed.listen((event) => {
      if (!event) return setState(feed.state);
      for (const named of [event, event.target]) {
        const node = named && tree.named(named.type, named.reference);
        if (!node) continue;
        due.current.add(node.key);
        setLast(displayName(node.entity));
        timer.current ??= setTimeout(() => void reread(), GATHER_MS);
      }
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
  return { on, state, flashing, last, toggle };
}
