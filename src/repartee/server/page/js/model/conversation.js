/** The conversation as the page shows it: server events in, entries in order out. Pure. */

import { Heard } from "./heard.js";

/**
 * @typedef {object} Entry
 * @property {string} id of the item
 * @property {"user"|"agent"|"tool"|"note"} kind
 * @property {"live"|"done"|"cut"|"failed"} state
 * @property {string} text
 * @property {string} interim words that may still change
 * @property {Heard|null} heard of an agent's spoken answer
 * @property {string} [response] that made it
 * @property {boolean} [typed]
 * @property {boolean} [observed] the server tells each interim reading
 * @property {boolean} [item] the server has made an item of it
 * @property {boolean} [transcribed] its words are final
 * @property {{name: string, call_id: string, arguments: string, output: string|null, server: boolean}} [call]
 */

export class Conversation {
  constructor() {
    /** @type {Entry[]} */
    this.entries = [];
    /** @type {Map<string, Entry>} */
    this.byId = new Map();
    /** Where the session that goes on began. @type {Entry|null} */
    this.boundary = null;
    /** Counts changes, so that a view knows when to draw. */
    this.version = 0;
  }

  /**
   * Take in a server event.
   * @param {any} event
   */
  receive(event) {
    const take = HANDLERS[event.type];
    if (!take) return;
    take(this, event);
    this.version += 1;
  }

  /** @param {string} id @param {number} ms of audio that came */
  addAudio(id, ms) {
    this.byId.get(id)?.heard?.addAudio(ms);
  }

  /** @param {string|null} id @param {number} ms played */
  played(id, ms) {
    const heard = id === null ? null : this.byId.get(id)?.heard;
    if (!heard) return;
    heard.play(ms);
    this.version += 1;
  }

  /** An answer was played to its end. @param {string} id */
  finished(id) {
    this.byId.get(id)?.heard?.finish();
    this.version += 1;
  }

  /** An answer was cut off. @param {string} id @param {number} ms heard of it */
  cut(id, ms) {
    const entry = this.byId.get(id);
    if (!entry?.heard || entry.heard.cut) return;
    entry.heard.cutAt(ms);
    if (entry.heard.characters < entry.text.length || !entry.heard.whole) entry.state = "cut";
    this.version += 1;
  }

  /** @param {string} text about the session itself, between what was said */
  note(text) {
    this.version += 1;
    return this.#put({ id: `note_${this.version}`, kind: "note", state: "done", text, interim: "", heard: null });
  }

  /** A session begins that knows nothing of what was said before. */
  startAnew() {
    const said = this.entries.some((entry) => entry.kind !== "note" && entry !== this.boundary);
    if (said) this.boundary = this.note("A new conversation: the agent doesn't know what was said before.");
  }

  /** @param {string} call_id @param {string} output */
  answer(call_id, output) {
    const entry = this.entries.find((each) => each.call?.call_id === call_id);
    if (!entry) return;
    entry.call.output = output;
    entry.state = "done";
    this.version += 1;
  }

  /** @returns {Entry} the entry of an item, made if need be */
  entry(id, kind, after) {
    return this.byId.get(id) ?? this.#put({ id, kind, state: "live", text: "", interim: "", heard: null }, after);
  }

  remove(id) {
    const entry = this.byId.get(id);
    if (!entry) return;
    this.byId.delete(id);
    this.entries.splice(this.entries.indexOf(entry), 1);
  }

  /** Items for a new session, after the connection was lost: what was said, as far as it was heard. */
  replay() {
    const items = [];
    const from = this.boundary ? this.entries.indexOf(this.boundary) + 1 : 0;
    for (const entry of this.entries.slice(from)) {
      const text = entry.heard ? entry.heard.split().heard : entry.text;
      if (!text.trim() || (entry.kind !== "user" && entry.kind !== "agent")) continue;
      const user = entry.kind === "user";
      const content = [{ type: user ? "input_text" : "output_text", text }];
      items.push({ type: "message", role: user ? "user" : "assistant", content });
    }
    return items;
  }

  #put(entry, after) {
    const before = after ? this.entries.findIndex((each) => each.id === after) : -1;
    if (before >= 0) this.entries.splice(before + 1, 0, entry);
    else this.entries.push(entry);
    this.byId.set(entry.id, entry);
    return entry;
  }
}

function addItem(talk, { item, previous_item_id: after }) {
  if (item.type === "message") {
    if (item.role === "system") return;
    const entry = talk.entry(item.id, item.role === "user" ? "user" : "agent", after);
    entry.item = true;
    const [part] = item.content ?? [];
    if (part?.type === "input_text") {
      entry.typed = true;
      entry.text = part.text;
      entry.state = "done";
    } else if (part?.type === "output_text" && part.text) {
      entry.text = part.text;
      entry.state = "done";
    } else if (part?.transcript) entry.text = part.transcript;
  } else if (item.type === "function_call" || item.type === "mcp_call") {
    const entry = talk.entry(item.id, "tool", after);
    entry.call ??= { name: item.name, call_id: item.call_id ?? item.id, arguments: "", output: null, server: false };
    entry.call.server = item.type === "mcp_call";
    if (item.arguments) entry.call.arguments = item.arguments;
  } else if (item.type === "function_call_output") talk.answer(item.call_id, item.output);
}

function itemDone(talk, event) {
  addItem(talk, event);
  const { item } = event;
  const entry = talk.byId.get(item.id);
  if (!entry) return;
  if (item.type === "mcp_call") {
    entry.call.output = item.error ? String(item.error.message ?? item.error) : (item.output ?? null);
    entry.state = item.error ? "failed" : "done";
  } else if (entry.kind === "agent" && entry.state === "live") entry.state = "done";
}

function outputAdded(talk, { item, response_id }) {
  addItem(talk, { item });
  const entry = talk.byId.get(item.id);
  if (entry) entry.response = response_id;
}

function agentText(talk, { item_id, delta }) {
  const entry = talk.entry(item_id, "agent");
  entry.text += delta;
  entry.heard?.addText(delta);
}

function agentTranscript(talk, event) {
  const entry = talk.entry(event.item_id, "agent");
  entry.heard ??= new Heard();
  agentText(talk, event);
}

/** @type {Record<string, (talk: Conversation, event: any) => void>} */
const HANDLERS = {
  "repartee.error": (talk, { stage, message }) => talk.note(`A part failed (${stage}): ${message}`),
  "input_audio_buffer.speech_started": (talk, { item_id }) => talk.entry(item_id, "user"),
  "input_audio_buffer.committed": (talk, { item_id }) => {
    talk.entry(item_id, "user").state = "done";
  },
  "conversation.item.added": addItem,
  "conversation.item.created": addItem,
  "conversation.item.done": itemDone,
  "conversation.item.deleted": (talk, { item_id }) => talk.remove(item_id),
  "conversation.item.truncated": (talk, { item_id, audio_end_ms }) => talk.cut(item_id, audio_end_ms),
  "conversation.item.input_audio_transcription.delta": (talk, { item_id, delta }) => {
    const entry = talk.entry(item_id, "user");
    if (!entry.observed) entry.text += delta; // else the interims have it already, and more
  },
  "conversation.item.input_audio_transcription.completed": (talk, { item_id, transcript }) => {
    const entry = talk.entry(item_id, "user");
    Object.assign(entry, { text: transcript.trim(), interim: "", state: "done", transcribed: true });
  },
  "conversation.item.input_audio_transcription.failed": (talk, { item_id }) => {
    Object.assign(talk.entry(item_id, "user"), { state: "failed", interim: "" });
  },
  "input_audio_buffer.cleared": (talk) => {
    const dropped = talk.entries.filter(({ kind, state, item }) => kind === "user" && state === "live" && !item);
    for (const { id } of dropped) talk.remove(id);
  },
  "repartee.interim": (talk, { item_id, text, stable_chars = 0 }) => {
    if (!text && !talk.byId.has(item_id)) return; // nothing was said yet, nor will there surely be
    const entry = talk.entry(item_id, "user");
    if (entry.transcribed) return;
    entry.observed = true;
    Object.assign(entry, { text: text.slice(0, stable_chars), interim: text.slice(stable_chars) });
  },
  "response.output_item.added": outputAdded,
  "response.output_item.done": itemDone,
  "response.output_text.delta": agentText,
  "response.output_audio_transcript.delta": agentTranscript,
  "response.output_audio.delta": (talk, { item_id }) => {
    talk.entry(item_id, "agent").heard ??= new Heard();
  },
  "response.output_audio.done": (talk, { item_id }) => {
    const heard = talk.byId.get(item_id)?.heard;
    if (heard) heard.whole = true;
  },
  "response.function_call_arguments.done": (talk, { item_id, arguments: text }) => {
    const call = talk.byId.get(item_id)?.call;
    if (call) call.arguments = text;
  },
  "repartee.words": (talk, { item_id, delta, start_ms }) => {
    const entry = talk.entry(item_id, "agent");
    entry.heard ??= new Heard();
    entry.heard.placeWords(delta, start_ms);
  },
  "repartee.heard": (talk, { item_id, text, audio_ms }) => {
    const heard = talk.byId.get(item_id)?.heard;
    if (!heard) return;
    heard.told = text;
    heard.play(audio_ms);
  },
  "repartee.tool": (talk, { call_id, state }) => {
    const entry = talk.entries.find((each) => each.call?.call_id === call_id);
    if (entry && state === "failed") entry.state = "failed";
    else if (entry && state === "done") entry.state = "done";
  },
};
