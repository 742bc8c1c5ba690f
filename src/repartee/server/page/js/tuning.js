/** The settings in force: each change a `session.update`, and what the server made of it. */

import { defaults, GROUPS, sessionOf, settingsOf } from "./model/settings.js";
import { run, toolsOf } from "./tools.js";

/**
 * @typedef {{state: "sent"|"done"|"refused", message: string}} Verdict what became of the last change of a group
 */

export class Tuning {
  /** @param {(event: object) => string} send @param {() => void} changed */
  constructor(send, changed) {
    this.send = send;
    this.changed = changed;
    this.settings = defaults();
    this.touched = new Set(["transcription"]); // what the person chose; asked again of each new session
    this.results = new Map();
    /** @type {Map<string, string[]>} event id → groups, in the order sent */
    this.pending = new Map();
    /** @type {Map<string, Verdict>} */
    this.verdicts = new Map();
    this.session = null; // as the server last said
    this.live = false;
  }

  /** A session has begun: tell it what was chosen. */
  begin() {
    this.live = true;
    this.pending.clear();
    if (this.touched.size) this.#ask([...this.touched]);
  }

  /** The session is over. */
  end() {
    this.live = false;
    this.pending.clear();
  }

  /**
   * The person changed something.
   * @param {keyof typeof GROUPS} group
   * @param {Partial<import("./model/settings.js").Settings>} values
   */
  change(group, values) {
    Object.assign(this.settings, values);
    this.touched.add(group);
    if (this.live) this.#ask([group]);
    else this.#judge([group], "done", "Goes with the next session");
  }

  #ask(groups) {
    let tools = [];
    if (groups.includes("tools")) {
      try {
        const { definitions, results } = toolsOf(this.settings);
        tools = definitions;
        this.results = results;
      } catch (error) {
        this.#judge(["tools"], "refused", `Not sent: ${error.message}`);
        groups = groups.filter((group) => group !== "tools");
        if (!groups.length) return;
      }
    }
    const session = sessionOf(groups, this.settings, tools);
    this.#judge(groups, "sent", "Sent…");
    this.pending.set(this.send({ type: "session.update", session }), groups);
  }

  /** @param {any} event of the server */
  receive(event) {
    if (event.type === "session.created") this.#adopt(event.session);
    else if (event.type === "session.updated") {
      const [first] = this.pending; // answers come in the order of the questions
      if (first) {
        this.pending.delete(first[0]);
        this.#judge(first[1], "done", "In force");
      }
      this.#adopt(event.session);
    } else if (event.type === "error" && this.pending.has(event.error.event_id)) {
      const groups = this.pending.get(event.error.event_id);
      this.pending.delete(event.error.event_id);
      for (const group of groups) this.touched.delete(group);
      this.refused = event.error.event_id;
      this.#judge(groups, "refused", event.error.message);
    }
  }

  /** Whether an error was the answer to a change; the panel shows it then. */
  owns(event_id) {
    return Boolean(event_id) && this.refused === event_id;
  }

  /** Run one of the page's functions. @param {string} name */
  run(name) {
    return run(name, this.results);
  }

  #adopt(session) {
    this.session = session;
    const told = settingsOf(session);
    const held = new Set([...this.touched, ...[...this.pending.values()].flat()].flatMap((group) => GROUPS[group]));
    for (const name of held) if (this.pending.size || !this.live) delete told[name];
    Object.assign(this.settings, told);
    this.changed();
  }

  #judge(groups, state, message) {
    for (const group of groups) this.verdicts.set(group, { state, message });
    this.changed();
  }
}
