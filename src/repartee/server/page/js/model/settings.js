/** Settings of a session: what the form holds, as pieces of `session.update`, and back. Pure. */

/**
 * @typedef {object} Settings
 * @property {string} voice "" leaves the server's
 * @property {string} instructions
 * @property {"audio"|"text"} answer
 * @property {"server_vad"|"semantic_vad"|"none"} detection none: push to talk
 * @property {number} threshold
 * @property {number} prefix_padding_ms
 * @property {number} silence_duration_ms
 * @property {number} idle_timeout_ms 0: never
 * @property {"auto"|"low"|"medium"|"high"} eagerness
 * @property {boolean} create_response
 * @property {boolean} interrupt_response
 * @property {boolean} transcribe
 * @property {string} transcriber
 * @property {string} language "" lets the model find out
 * @property {number} speed
 * @property {""|"near_field"|"far_field"} noise
 * @property {boolean} browser_tool
 * @property {string} tools JSON: definitions, each with its `result`
 */

/** @returns {Settings} */
export function defaults() {
  return {
    voice: "",
    instructions: "",
    answer: "audio",
    detection: "server_vad",
    threshold: 0.5,
    prefix_padding_ms: 300,
    silence_duration_ms: 500,
    idle_timeout_ms: 0,
    eagerness: "auto",
    create_response: true,
    interrupt_response: true,
    transcribe: true,
    transcriber: "gpt-realtime-whisper",
    language: "",
    speed: 1,
    noise: "",
    browser_tool: false,
    tools: "",
  };
}

/** Which settings go together in one update. */
export const GROUPS = {
  voice: ["voice"],
  instructions: ["instructions"],
  answer: ["answer"],
  turns: [
    "detection",
    "threshold",
    "prefix_padding_ms",
    "silence_duration_ms",
    "idle_timeout_ms",
    "eagerness",
    "create_response",
    "interrupt_response",
  ],
  tools: ["browser_tool", "tools"],
  transcription: ["transcribe", "transcriber", "language"],
  speed: ["speed"],
  noise: ["noise"],
};

/** @type {Record<keyof typeof GROUPS, (settings: Settings, tools: object[]) => object>} */
const PIECES = {
  voice: ({ voice }) => (voice ? { audio: { output: { voice } } } : {}),
  instructions: ({ instructions }) => ({ instructions }),
  answer: ({ answer }) => ({ output_modalities: [answer] }),
  turns: (settings) => ({ audio: { input: { turn_detection: turnDetection(settings) } } }),
  tools: (_, tools) => ({ tools, tool_choice: "auto" }),
  transcription: ({ transcribe, transcriber, language }) => ({
    audio: {
      input: { transcription: transcribe ? { model: transcriber, ...(language ? { language } : {}) } : null },
    },
  }),
  speed: ({ speed }) => ({ audio: { output: { speed } } }),
  noise: ({ noise }) => ({ audio: { input: { noise_reduction: noise ? { type: noise } : null } } }),
};

function turnDetection(settings) {
  const { detection, create_response, interrupt_response } = settings;
  if (detection === "none") return null;
  if (detection === "semantic_vad") {
    return { type: detection, eagerness: settings.eagerness, create_response, interrupt_response };
  }
  const { threshold, prefix_padding_ms, silence_duration_ms, idle_timeout_ms } = settings;
  return {
    type: detection,
    threshold,
    prefix_padding_ms,
    silence_duration_ms,
    idle_timeout_ms: idle_timeout_ms || null,
    create_response,
    interrupt_response,
  };
}

/**
 * The `session` of a `session.update`.
 * @param {(keyof typeof GROUPS)[]} groups what changed
 * @param {Settings} settings
 * @param {object[]} [tools] definitions, without their results
 */
export function sessionOf(groups, settings, tools = []) {
  let session = { type: "realtime" };
  for (const group of groups) session = merged(session, PIECES[group](settings, tools));
  return session;
}

/**
 * What a session in force says of the settings.
 * @param {any} session
 * @returns {Partial<Settings>}
 */
export function settingsOf(session) {
  const input = session.audio?.input ?? {};
  const output = session.audio?.output ?? {};
  const found = {
    voice: typeof output.voice === "string" ? output.voice : output.voice?.id,
    speed: output.speed,
    instructions: session.instructions,
    answer: session.output_modalities?.[0],
    noise: input.noise_reduction === undefined ? undefined : (input.noise_reduction?.type ?? ""),
    transcribe: input.transcription === undefined ? undefined : Boolean(input.transcription),
    transcriber: input.transcription?.model,
    language: input.transcription?.language ?? undefined,
  };
  const detection = input.turn_detection;
  if (detection === null) found.detection = "none";
  else if (detection) {
    const { type, idle_timeout_ms, ...rest } = detection;
    Object.assign(found, rest, { detection: type });
    if (type === "server_vad") found.idle_timeout_ms = idle_timeout_ms ?? 0;
  }
  const known = defaults();
  return Object.fromEntries(
    Object.entries(found).filter(([name, value]) => name in known && value !== undefined && value !== null),
  );
}

function merged(a, b) {
  const out = { ...a };
  for (const [name, value] of Object.entries(b)) {
    const both = isPlain(value) && isPlain(out[name]);
    out[name] = both ? merged(out[name], value) : value;
  }
  return out;
}

function isPlain(value) {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
