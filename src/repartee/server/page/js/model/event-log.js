/** Every event, both ways. Pure. Audio is kept as its length only: an hour of base64 would fill the memory. */

const KEPT_MAX = 6000; // events; the oldest go, and are counted

/**
 * @typedef {{number: number, at: number, sent: boolean, type: string, event: any}} Logged
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
    this.entries.push({ number: this.count, at, sent, type: String(event.type), event: withoutAudio(event) });
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

  /** @returns {string} a line each: `{"at_ms", "sent", "event"}` */
  toJsonLines() {
    const line = ({ at, sent, event }) => JSON.stringify({ at_ms: Math.round(at), sent, event });
    return this.entries.map(line).join("\n") + "\n";
  }
}

/** Those that come many times a second. */
export const AUDIO_TYPES = new Set(["input_audio_buffer.append", "response.output_audio.delta"]);

/** Events of one type in a row, together. @param {Logged[]} entries @returns {Logged[][]} */
export function grouped(entries) {
  const groups = [];
  for (const entry of entries) {
    const last = groups.at(-1);
    if (last && AUDIO_TYPES.has(entry.type) && last[0].type === entry.type) last.push(entry);
    else groups.push([entry]);
  }
  return groups;
}

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
