/** What a conversation does when the server says something, besides showing it: a table by type of event. */

/** @type {Record<string, (talk: import("./talk.js").Talk, event: any) => void>} */
export const REACTIONS = {
  "session.created": (talk) => talk.begun(),
  "input_audio_buffer.speech_started": (talk) => talk.spokenOver(),
  "response.done": (talk, { response }) => {
    const { status, status_details: details } = response;
    if (status === "failed") talk.conversation.note(`No answer: ${details?.error?.message ?? "the model failed"}`);
    if (status === "incomplete") talk.conversation.note(`The answer is incomplete: ${details?.reason ?? "cut short"}`);
    if (status !== "completed") return;
    const calls = (response.output ?? []).filter(({ type }) => type === "function_call");
    for (const { name, call_id } of calls) {
      const output = talk.tuning.run(name);
      talk.send({ type: "conversation.item.create", item: { type: "function_call_output", call_id, output } });
    }
    if (calls.length) talk.send({ type: "response.create" });
  },
  error: (talk, { error }) => {
    talk.lastError = error;
    if (talk.tuning.owns(error.event_id) || QUIET.has(error.code)) return;
    if (talk.phase === "live") talk.conversation.note(`The server says: ${error.message}`);
  },
};

/** Errors that only say that something had ended a moment before. */
const QUIET = new Set([
  "response_cancel_not_active",
  "item_truncate_invalid_item_id",
  "input_audio_buffer_commit_empty",
  "invalid_api_key",
  "invalid_model",
]);
