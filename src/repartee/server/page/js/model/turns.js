/** How quick each answer was, part by part. Pure; all times are page time. */

/** What a turn passes through, in order. The first is where the wait begins. */
export const STAGES = ["speech_end", "decision", "first_token", "first_audio", "heard"];

/** What the server knows better; when its answer was heard, only the page knows. */
const SERVERS = new Set(["speech_end", "decision", "first_token", "first_audio"]);

/** What each part of the wait is called: it ends at the stage of the same place in STAGES, from the second on. */
export const PARTS = [
  { stage: "decision", name: "Deciding", title: "from the end of speech to the decision to answer" },
  { stage: "first_token", name: "First word", title: "from the decision to the first word of the answer" },
  { stage: "first_audio", name: "First sound", title: "from the first word to the first audio" },
  { stage: "heard", name: "To the ear", title: "from the first audio to its first sample played" },
];

/**
 * @typedef {object} Turn
 * @property {number} number from 1
 * @property {string|null} item of the user
 * @property {Set<string>} responses that answer it
 * @property {Record<string, number>} at stage → page time
 * @property {boolean} typed
 * @property {number|null} interrupted when, if its answer was cut off
 * @property {string} reason why it ended, in the server's words; empty where it doesn't tell
 * @property {Set<string>} told stages whose time is the server's
 */

export class Turns {
  constructor() {
    /** @type {Turn[]} */
    this.list = [];
    /** @type {Map<string, Turn>} */
    this.byResponse = new Map();
    this.version = 0;
  }

  /** The user's turn ends, or goes on ending. @param {string|null} item @param {number} at */
  asked(item, at, typed = false) {
    let turn = this.list.at(-1);
    if (!turn || turn.responses.size || turn.item !== item) {
      turn = { number: this.list.length + 1, item, responses: new Set(), at: {}, typed, interrupted: null };
      Object.assign(turn, { reason: "", told: new Set() });
      this.list.push(turn);
    }
    if (!turn.told.has("speech_end")) turn.at.speech_end = at;
    this.version += 1;
  }

  /** It was decided to answer. @param {number} at */
  decided(at) {
    const turn = this.list.at(-1);
    if (turn && !turn.responses.size) this.#first(turn, "decision", at);
  }

  /** A response begins; it answers the newest turn. @param {string} response @param {number} at */
  answered(response, at) {
    const turn = this.list.at(-1);
    if (!turn || turn.at.heard !== undefined) return; // nobody asked: the agent speaks up by itself
    turn.responses.add(response);
    this.byResponse.set(response, turn);
    this.#first(turn, "decision", at);
  }

  /** @param {string} response @param {"first_token"|"first_audio"|"heard"} stage @param {number} at */
  reached(response, stage, at) {
    const turn = this.byResponse.get(response);
    if (turn) this.#first(turn, stage, at);
  }

  /** The server knows why a turn ended, and when the user fell silent. @param {string} item @param {number} at */
  ended(item, reason, at) {
    const turn = this.list.findLast((each) => each.item === item);
    if (!turn) return;
    turn.reason = reason;
    this.#told(turn, "speech_end", at);
  }

  /** The server knows better. @param {string} response @param {string} stage as it calls it @param {number} at */
  told(response, stage, at) {
    const turn = this.byResponse.get(response);
    if (turn && !turn.typed && SERVERS.has(stage)) this.#told(turn, stage, at);
  }

  #told(turn, stage, at) {
    if (turn.told.has(stage)) return; // a turn with calls has several responses: its first word is the first one's
    turn.told.add(stage);
    turn.at[stage] = at;
    this.version += 1;
  }

  /** @param {string|null} response @param {number} at */
  interrupted(response, at) {
    const turn = this.byResponse.get(response);
    if (!turn) return;
    turn.interrupted ??= at;
    this.version += 1;
  }

  #first(turn, stage, at) {
    if (turn.at[stage] !== undefined) return;
    turn.at[stage] = at;
    this.version += 1;
  }
}

/**
 * The parts of a turn's wait, those that are known.
 * @param {Turn} turn
 * @returns {{name: string, title: string, stage: string, from: number, to: number, ms: number}[]}
 */
export function parts(turn) {
  const found = [];
  let from = turn.at.speech_end;
  if (from === undefined) return found;
  for (const part of PARTS) {
    const to = turn.at[part.stage];
    if (to === undefined) continue;
    const end = Math.max(from, to); // a prepared answer may have its words before the decision
    found.push({ ...part, from, to: end, ms: Math.round(end - from) });
    from = end;
  }
  return found;
}

const ENDINGS = {
  silence: "ended by silence",
  "end of turn": "ended by its words",
  ceiling: "ended by the longest wait",
  manual: "ended by hand",
};

/** @param {Turn} turn @returns {string} why it ended; empty where that isn't known */
export function ending({ reason }) {
  return ENDINGS[reason] ?? reason;
}

/** @param {Turn} turn @returns {number|null} from the end of speech until the answer was heard (typed text: seen) */
export function latency(turn) {
  const { speech_end: from, heard, first_audio, first_token } = turn.at;
  const to = heard ?? first_audio ?? first_token;
  return from === undefined || to === undefined ? null : Math.max(0, Math.round(to - from));
}

/** @param {Turn[]} turns @returns {number|null} the median latency */
export function median(turns) {
  const all = turns
    .map(latency)
    .filter((ms) => ms !== null)
    .sort((a, b) => a - b);
  return all.length ? all[Math.floor((all.length - 1) / 2)] : null;
}
