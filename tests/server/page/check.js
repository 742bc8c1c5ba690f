/** What the tests of the page's logic need: they run in the browser, from tests/integration/test_page_logic.py. */

const tests = [];

/** @param {string} name @param {() => void} run throws when it fails */
export function test(name, run) {
  tests.push({ name, run });
}

/** Fails unless both are the same, member by member. */
export function equal(found, wanted) {
  const [a, b] = [JSON.stringify(found), JSON.stringify(wanted)];
  if (a !== b) throw new Error(`found ${a}, wanted ${b}`);
}

/** Fails unless it holds. */
export function ok(holds, what = "it") {
  if (!holds) throw new Error(`${what} does not hold`);
}

/** @returns {{name: string, error: string|null}[]} what came of each */
export function runAll() {
  return tests.map(({ name, run }) => {
    try {
      run();
      return { name, error: null };
    } catch (error) {
      return { name, error: String(error.stack ?? error) };
    }
  });
}
