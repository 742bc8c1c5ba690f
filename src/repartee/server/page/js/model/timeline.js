/** What the timeline shows: levels, spans, marks and a curve, all in page time. Pure. */

/** Length of one step of an envelope. */
export const STEP_MS = 20;

const STEPS_MAX = (4 * 3600 * 1000) / STEP_MS; // four hours; what comes later is not drawn
const KEPT_MAX = 20000; // spans, marks or points; the oldest go

/** How loud something was, step by step. */
export class Envelope {
  constructor() {
    this.levels = new Float32Array(1024);
    this.end = 0;
  }

  /** @param {number} at_ms @param {number} peak 0 to 1 */
  add(at_ms, peak) {
    const step = Math.floor(at_ms / STEP_MS);
    if (step < 0 || step >= STEPS_MAX) return;
    if (step >= this.levels.length) {
      const grown = new Float32Array(Math.max(step + 1, 2 * this.levels.length));
      grown.set(this.levels);
      this.levels = grown;
    }
    this.levels[step] = Math.max(this.levels[step], peak);
    this.end = Math.max(this.end, step + 1);
  }

  /** @returns {number} the loudest between two times, 0 where nothing is known */
  peak(from_ms, to_ms) {
    const first = Math.max(0, Math.floor(from_ms / STEP_MS));
    const last = Math.min(this.end, Math.max(first + 1, Math.ceil(to_ms / STEP_MS)));
    let top = 0;
    for (let i = first; i < last; i++) top = Math.max(top, this.levels[i]);
    return top;
  }

  /** @returns {number} since when it is louder than `floor`, but for pauses; looking back from a time */
  onset(before_ms, floor, pause_ms) {
    let from = before_ms;
    for (;;) {
      const sound = this.lastLoud(from - 1, floor, pause_ms);
      if (sound === null || sound - STEP_MS >= from) return from;
      from = sound - STEP_MS;
    }
  }

  /** @returns {number|null} when it was last louder than `floor`, looking back from a time */
  lastLoud(before_ms, floor, back_ms) {
    const stop = Math.max(0, Math.floor((before_ms - back_ms) / STEP_MS));
    for (let i = Math.min(this.end - 1, Math.floor(before_ms / STEP_MS)); i >= stop; i--) {
      if (this.levels[i] > floor) return (i + 1) * STEP_MS;
    }
    return null;
  }
}

/**
 * @typedef {"speech"|"thinking"|"speaking"|"tool"} SpanKind
 * @typedef {{kind: SpanKind, from: number, to: number|null, label: string, key: string}} Span to null: goes on
 * @typedef {{kind: "interruption"|"note", at: number, label: string}} Mark
 * @typedef {{at: number, probability: number, text: string}} Point
 */

export class Timeline {
  constructor() {
    this.you = new Envelope();
    this.agent = new Envelope();
    /** @type {Span[]} */
    this.spans = [];
    /** @type {Mark[]} */
    this.marks = [];
    /** @type {Point[]} end-of-turn probability */
    this.curve = [];
    /** Peaks of what is generated and not yet played, a step each. @type {number[]} */
    this.ahead = [];
  }

  /** @param {SpanKind} kind @param {number} from @param {string} [label] @param {string} [key] tells spans of a kind apart */
  begin(kind, from, label = "", key = "") {
    if (!this.open(kind, key)) keep(this.spans, { kind, from, to: null, label, key });
  }

  /** @param {SpanKind} kind @param {number} to @param {string} [key] */
  end(kind, to, key = "") {
    const span = this.open(kind, key);
    if (span) span.to = Math.max(span.from, to);
  }

  /** The newest span of a kind, which has ended, really ended then. @param {SpanKind} kind @param {number} to */
  ended(kind, to) {
    const span = this.spans.findLast((each) => each.kind === kind);
    if (span && span.to !== null) span.to = Math.max(span.from, to);
  }

  /** Everything that goes on ends. @param {number} to */
  endAll(to) {
    for (const span of this.spans) if (span.to === null) span.to = Math.max(span.from, to);
    this.ahead = [];
  }

  /** @returns {Span|undefined} the one that goes on */
  open(kind, key = "") {
    return this.spans.findLast((span) => span.to === null && span.kind === kind && span.key === key);
  }

  /** @param {Mark["kind"]} kind @param {number} at @param {string} label */
  mark(kind, at, label) {
    keep(this.marks, { kind, at, label });
  }

  /** @param {number} at @param {number} probability @param {string} text */
  predict(at, probability, text) {
    keep(this.curve, { at, probability, text });
  }

  /** @returns {Span[]} those that touch a stretch of time */
  spansIn(from, to) {
    return this.spans.filter((span) => span.from <= to && (span.to === null || span.to >= from));
  }

  /** What happened around a time, in words. @param {number} at @returns {string[]} */
  describe(at, slack_ms = 0) {
    const words = this.spansIn(at - slack_ms, at + slack_ms).map(
      (span) => NAMES[span.kind] + (span.label ? `: ${span.label}` : "") + length(span),
    );
    for (const mark of this.marks) if (Math.abs(mark.at - at) <= Math.max(slack_ms, 60)) words.push(mark.label);
    const point = this.curve.findLast((each) => each.at <= at + slack_ms && each.at > at - 1500);
    if (point) words.push(`end of turn ${Math.round(100 * point.probability)} %`);
    return words;
  }
}

const NAMES = { speech: "you speak", thinking: "thinking", speaking: "agent speaks", tool: "tool" };

function length({ from, to }) {
  return to === null ? "" : `, ${((to - from) / 1000).toFixed(2)} s`;
}

function keep(list, value) {
  list.push(value);
  if (list.length > KEPT_MAX) list.splice(0, KEPT_MAX / 10);
}
