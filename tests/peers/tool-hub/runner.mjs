// The process in which a tool's code runs. It knows what it was sent: the module, and for a run the action, its
// parameters and placeholders in place of credentials.

import { pathToFileURL } from "node:url";

async function answer({ module, action, params, credentials }) {
  const { default: tool } = await import(pathToFileURL(module).href);
  if (action === undefined) {
    return { name: tool.name, credentials: tool.credentials, actions: Object.keys(tool.actions) };
  }
  const chosen = Object.hasOwn(tool.actions, action) ? tool.actions[action] : undefined;
  if (chosen === undefined) {
    throw new Error("the tool has no such action");
  }
  return { result: (await chosen.execute(params, credentials)) ?? null };
}

process.once("message", async (asked) => {
  let said;
  try {
    said = await answer(asked);
  } catch (error) {
    said = { error: { message: error.message, cause: error.cause?.message } };
  }
  process.send(said, () => process.disconnect());
});
