/**
 * Every event, both ways. Pure. Audio is kept as its length only, and such events in a row as one entry: else an hour of
 * base64 would fill the memory, and three minutes of microphone the log.
 */

const KEPT_MAX = 6000; // events; the oldest go, and are counted

/**
 * @typedef {object} Logged
 * @property {number} number of the first, from 1
 * @property {number} at page time of the first
 * @property {number} until of the last
 * @property {number} times how many
 * @property {boolean} sent
 * @property {string} type
 * @property {any} event the first
 */

export class EventLog {
  constructor() {
    /** @type {Logged[]} */
    this.entries = [];
    this.dropped = 0;
    this.count = 0;
  }

  /** @param {boolean} sent @param {any} event @param {number} at page time */
  add(sent, event, at) {
    this.count += 1;
    const last = this.entries.at(-1);
    if (AUDIO_TYPES.has(event.type) && last?.type === event.type) {
      last.times += 1;
      last.until = at;
      return;
    }
    const type = String(event.type);
    this.entries.push({ number: this.count, at, until: at, times: 1, sent, type, event: withoutAudio(event) });
    if (this.entries.length > KEPT_MAX) {
      this.entries.splice(0, KEPT_MAX / 10);
      this.dropped += KEPT_MAX / 10;
    }
  }

  clear() {
    this.entries = [];
    this.dropped = 0;
  }

  /**
   * @param {{query?: string, direction?: "both"|"sent"|"received", audio?: boolean}} filter
   * @returns {Logged[]}
   */
  find({ query = "", direction = "both", audio = true }) {
    const words = query.toLowerCase().split(/\s+/).filter(Boolean);
    return this.entries.filter((entry) => {
      if (direction !== "both" && entry.sent !== (direction === "sent")) return false;
      if (!audio && AUDIO_TYPES.has(entry.type)) return false;
      if (!words.length) return true;
      const text = (entry.text ??= JSON.stringify(entry.event).toLowerCase());
      return words.every((word) => text.includes(word));
    });
  }

  /** @returns {string} a line each: `{"at_ms", "sent", "event"}`; audio in a row also has `times` and `until_ms` */
  toJsonLines() {
    const line = ({ at, until, times, sent, event }) => {
      const row = times > 1 ? { times, until_ms: Math.round(until) } : {};
      return JSON.stringify({ at_ms: Math.round(at), ...row, sent, event });
    };
    return this.entries.map(line).join("\n") + "\n";
  }
}

/** Those that come many times a second. */
export const AUDIO_TYPES = new Set(["input_audio_buffer.append", "response.output_audio.delta"]);

/** What an event says, in a few words. @param {any} event */
export function summary(event) {
  const said = event.transcript ?? event.delta ?? event.text ?? event.error?.message ?? event.arguments;
  if (typeof said === "string" && said.trim()) return said.trim().slice(0, 120);
  if (event.type === "repartee.end_of_turn") return `${Math.round(100 * event.probability)} %`;
  if (event.type === "repartee.state") return [event.user, event.agent].filter(Boolean).join(" · ");
  const place = event.audio_end_ms ?? event.audio_start_ms;
  if (place !== undefined) return `${place} ms`;
  return event.response?.status ?? event.stage ?? event.item?.type ?? event.name ?? "";
}

function withoutAudio(event) {
  const field = event.type === "input_audio_buffer.append" ? "audio" : "delta";
  if (!AUDIO_TYPES.has(event.type) || typeof event[field] !== "string") return event;
  const bytes = Math.floor((event[field].length * 3) / 4);
  return { ...event, [field]: `(${bytes} bytes of audio)` };
}
