/** Server-sent events over fetch: EventSource can send no Authorization header and tells no status. */

export interface Message {
  readonly id: string;
  readonly event: string;
  readonly data: string;
}

/** Takes the stream's text in any pieces and gives whole messages. */
export class MessageParser {
  #rest = "";
  #id = "";
  #event = "";
  #data: string[] = [];

  push(piece: string): Message[] {
    const found: Message[] = [];
    // A \r at the end may be the first half of \r\n.
    const text = this.#rest + piece;
    const held = text.endsWith("\r") ? 1 : 0;
    const lines = text.slice(0, text.length - held).split(/\r\n|\r|\n/);
    this.#rest = lines.pop()! + text.slice(text.length - held);
    for (const line of lines) {
      if (line === "") {
        if (this.#data.length > 0) {
          found.push({ id: this.#id, event: this.#event || "message", data: this.#data.join("\n") });
        }
        this.#event = "";
        this.#data = [];
        continue;
      }
      const colon = line.indexOf(":");
      if (colon === 0) continue; // a comment keeps the connection alive
      const field = colon < 0 ? line : line.slice(0, colon);
      const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
      if (field === "data") this.#data.push(value);
      else if (field === "event") this.#event = value;
      else if (field === "id" && !value.includes("\0")) this.#id = value;
    }
    return found;
  }
}
