/**
 * What of an answer was heard. Pure.
 *
 * An answer is text that grows, audio that grows, and a position in the audio that was played. Where the server says at
 * which millisecond each piece of text begins (`repartee.words`), the split is exact to the word; otherwise it is
 * estimated by the share of the audio that was played, and marked so.
 */

const MS_PER_CHARACTER = 62; // of ordinary English speech; only used while more audio is to come

/** The text of one item, and how far it was heard. */
export class Heard {
  constructor() {
    this.text = "";
    this.audio_ms = 0; // generated
    this.whole = false; // whether all audio has come
    this.heard_ms = 0;
    this.cut = false; // whether the rest will never be heard
    this.over = false; // whether it was played to its end
    /** @type {{end: number, start_ms: number}[]} characters up to `end` begin at `start_ms` */
    this.words = [];
    this.aligned = 0; // characters whose place in the audio is known
    /** What the server says was heard, over WebRTC, where it plays. @type {string|null} */
    this.told = null;
  }

  /** Whether the split is a guess. */
  get estimated() {
    return this.told === null && !this.words.length;
  }

  /** @param {string} delta */
  addText(delta) {
    this.text += delta;
  }

  /** @param {string} text the whole, as it ended */
  setText(text) {
    this.text = text;
  }

  /** @param {number} ms of audio that came */
  addAudio(ms) {
    this.audio_ms += ms;
  }

  /** @param {string} delta @param {number|null} start_ms where it begins in the item's audio; null: not known */
  placeWords(delta, start_ms) {
    this.aligned += delta.length;
    this.words.push({ end: this.aligned, start_ms: start_ms ?? this.words.at(-1)?.start_ms ?? 0 });
  }

  /** @param {number} ms played; it never goes back */
  play(ms) {
    if (!this.cut) this.heard_ms = Math.max(this.heard_ms, ms);
  }

  /** It was played to its end. */
  finish() {
    this.over = !this.cut;
  }

  /** Nothing more will be heard. @param {number} ms what was */
  cutAt(ms) {
    this.heard_ms = ms;
    this.cut = true;
  }

  /** @returns {number} characters of the text that were heard, in whole words */
  get characters() {
    const played = this.whole && this.audio_ms > 0 && this.heard_ms >= this.audio_ms - 1;
    if (this.over || (played && !this.cut)) return this.text.length;
    if (this.told !== null) return commonLength(this.text, this.told);
    if (this.words.length) return this.#placed();
    const length_ms = this.whole && this.audio_ms ? this.audio_ms : Math.max(this.audio_ms, this.text.length * MS_PER_CHARACTER);
    if (!length_ms) return 0;
    return wordEnd(this.text, (this.text.length * this.heard_ms) / length_ms);
  }

  #placed() {
    let end = 0;
    for (const word of this.words) {
      if (word.start_ms >= this.heard_ms) break;
      end = word.end;
    }
    return Math.min(end, this.text.length);
  }

  /** @returns {{heard: string, rest: string}} */
  split() {
    const at = this.characters;
    return { heard: this.text.slice(0, at), rest: this.text.slice(at) };
  }
}

/** The end of the word in which a position lies; a word counts once half of it was heard. */
function wordEnd(text, position) {
  if (position >= text.length) return text.length;
  let end = 0;
  for (const match of text.matchAll(/\s*\S+/g)) {
    const middle = match.index + match[0].length / 2;
    if (middle > position) break;
    end = match.index + match[0].length;
  }
  return end;
}

function commonLength(text, told) {
  let i = 0;
  while (i < text.length && i < told.length && text[i] === told[i]) i++;
  return i;
}
