import { render } from "preact";
import { App } from "./app";
import "./styles/tokens.css";
import "./styles/page.css";
import "./styles/explore.css";
import "./styles/details.css";
import "./styles/boards.css";

render(<App />, document.getElementById("page")!);
