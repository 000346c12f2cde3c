import { render } from "preact";
import { App } from "./app";
import { takeKey } from "./lib/api";
import "./styles/tokens.css";
import "./styles/page.css";
import "./styles/explore.css";
import "./styles/details.css";
import "./styles/boards.css";

// Before anything is asked for; the address bar and the history don't keep it.
const next = takeKey(location.hash);
if (next !== null) history.replaceState(null, "", next);

render(<App />, document.getElementById("page")!);
