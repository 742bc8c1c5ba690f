/** Functions that the page itself offers to the model: one that asks the browser, and those you define. */

/** @typedef {{type: "function", name: string, description: string, parameters: object}} Definition */

const BROWSER_TIME = {
  type: "function",
  name: "browser_time",
  description: "The local time, date and time zone of the person you talk with.",
  parameters: { type: "object", properties: {}, required: [] },
};

/** An example of what a person may define. */
export const EXAMPLE = JSON.stringify(
  [
    {
      name: "check_stock",
      description: "Whether an item is in stock.",
      parameters: { type: "object", properties: { item: { type: "string" } }, required: ["item"] },
      result: { in_stock: true, left: 3 },
    },
  ],
  null,
  2,
);

/**
 * @param {{browser_tool: boolean, tools: string}} settings
 * @returns {{definitions: Definition[], results: Map<string, string>}}
 * @throws {SyntaxError} the JSON is not a list of definitions; its message says what is wrong
 */
export function toolsOf({ browser_tool, tools }) {
  const definitions = browser_tool ? [BROWSER_TIME] : [];
  const results = new Map();
  for (const given of parse(tools)) {
    const { name, description = "", parameters = { type: "object", properties: {} }, result = "done" } = given;
    if (!/^[\w-]{1,64}$/.test(name ?? "")) {
      throw new SyntaxError(`a tool needs a name of letters, digits, _ or -; this one has ${JSON.stringify(name)}`);
    }
    if (typeof parameters !== "object") throw new SyntaxError(`${name}: parameters must be a JSON schema`);
    definitions.push({ type: "function", name, description, parameters });
    results.set(name, typeof result === "string" ? result : JSON.stringify(result));
  }
  return { definitions, results };
}

function parse(text) {
  if (!text.trim()) return [];
  const given = JSON.parse(text);
  const list = Array.isArray(given) ? given : [given];
  if (list.some((each) => typeof each !== "object" || each === null)) {
    throw new SyntaxError("give a list of objects, each with name, description, parameters and result");
  }
  return list;
}

/**
 * Run a function.
 * @param {string} name
 * @param {Map<string, string>} results of the functions you defined
 * @returns {string} what the model is told
 */
export function run(name, results) {
  if (results.has(name)) return results.get(name);
  if (name !== BROWSER_TIME.name) return JSON.stringify({ error: `this page has no tool named ${name}` });
  const now = new Date();
  const { timeZone } = Intl.DateTimeFormat().resolvedOptions();
  return JSON.stringify({
    time: now.toLocaleTimeString("en-GB"),
    date: now.toLocaleDateString("en-GB", { dateStyle: "full" }),
    time_zone: timeZone,
  });
}
