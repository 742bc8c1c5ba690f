/** What can go wrong, said so that a person knows what to do. Pure: a table. */

/** An error that the page can explain. */
export class TalkError extends Error {
  /** @param {keyof typeof FAILURES} kind @param {string} [detail] what the browser or the server said */
  constructor(kind, detail = "") {
    super(detail || FAILURES[kind].title);
    this.kind = kind;
    this.detail = detail;
  }
}

/**
 * @typedef {object} Failure
 * @property {string} title
 * @property {string} advice
 * @property {("retry"|"key"|"type"|"settings")[]} actions what the person can do at once
 */

/** @type {Record<string, Failure>} */
export const FAILURES = {
  insecure: {
    title: "The browser keeps the microphone from this address",
    advice:
      "A microphone is only given to pages on https:// or on localhost. Open this page through one of them, or type.",
    actions: ["type"],
  },
  unsupported: {
    title: "This browser can't record here",
    advice: "It has no AudioWorklet. A current Firefox, Chrome, Edge or Safari has; or type.",
    actions: ["type"],
  },
  no_microphone: {
    title: "No microphone found",
    advice: "Plug one in, or switch it on in the system's sound settings, then try again. You can also type.",
    actions: ["retry", "type"],
  },
  microphone_refused: {
    title: "The microphone was refused",
    advice: "Allow it for this page: the icon at the left of the address bar has the switch. Then try again, or type.",
    actions: ["retry", "type"],
  },
  microphone_busy: {
    title: "The microphone doesn't answer",
    advice: "Another program may hold it. Close that program, or choose another microphone, then try again.",
    actions: ["retry", "type"],
  },
  microphone_lost: {
    title: "The microphone went away",
    advice: "It was unplugged or switched off. Plug it in and start again; until then you can type.",
    actions: ["retry", "type"],
  },
  no_loudspeaker: {
    title: "The browser plays no sound",
    advice:
      "It found no loudspeaker. Plug one in, or headphones, and try again. Or choose written answers in the settings.",
    actions: ["retry"],
  },
  unreachable: {
    title: "The server can't be reached",
    advice: "Is it running? `repartee serve` starts it and prints its address. Then try again.",
    actions: ["retry"],
  },
  full: {
    title: "The server is full",
    advice: "All its sessions are taken. Wait a moment, then try again.",
    actions: ["retry"],
  },
  turned_down: {
    title: "The server turned the connection down",
    advice:
      "It has room, so it may not allow this page's address (--allow-origin); or it was full just now: then try again.",
    actions: ["retry"],
  },
  not_ready: {
    title: "The server isn't ready",
    advice: "It is still loading its models, or about to stop. Try again in a moment.",
    actions: ["retry"],
  },
  key: {
    title: "The server needs a key",
    advice: "Enter a key that this server accepts. The page keeps it in memory only, until you close it.",
    actions: ["key"],
  },
  model: {
    title: "The server doesn't serve this model",
    advice: "Choose another model under Settings, Connection.",
    actions: ["settings", "retry"],
  },
  lost: {
    title: "The connection is lost",
    advice: "The server didn't come back. What was said so far is still here; start again to go on from it.",
    actions: ["retry"],
  },
  refused: {
    title: "The server ended the session",
    advice: "It gave the reason below.",
    actions: ["retry"],
  },
  webrtc: {
    title: "WebRTC could not connect",
    advice: "The network may block UDP, or the server has no WebRTC. A WebSocket gets through: choose it in Settings.",
    actions: ["settings", "retry"],
  },
};

/** Close codes after which a new connection may well succeed (RFC 6455, section 7.4.1, and its registry). */
const PASSING = new Set([1001, 1005, 1006, 1011, 1012, 1013, 1015]);

/**
 * What a closed connection means.
 * @param {object} close
 * @param {number} close.code
 * @param {string} close.reason
 * @param {boolean} close.opened whether a session had begun
 * @param {string|null} [close.error] code of the last `error` event before
 * @returns {{kind: keyof typeof FAILURES, again: boolean}} again: whether to try once more by itself
 */
export function judgeClose({ code, reason, opened, error = null }) {
  if (error === "invalid_api_key" || reason.includes("invalid_api_key")) return { kind: "key", again: false };
  if (error === "invalid_model" || reason.includes("invalid_model")) return { kind: "model", again: false };
  if (code === 1013 && !opened) return { kind: "full", again: false };
  if (PASSING.has(code)) return { kind: opened ? "lost" : "unreachable", again: opened };
  return { kind: "refused", again: false };
}

/**
 * What an HTTP answer in place of a session means.
 * @param {number} status
 * @returns {keyof typeof FAILURES|null} null: nothing wrong
 */
export function judgeStatus(status) {
  if (status === 401 || status === 403) return "key";
  if (status === 503 || status === 429) return "full";
  return null;
}
