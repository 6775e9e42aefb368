// What a tool module imports. A definition is data and functions: it is given back as it is.

export function defineTool(definition) {
  const { name, actions } = definition;
  if (typeof name !== "string" || typeof actions !== "object") {
    throw new TypeError("a tool has a name and actions");
  }
  for (const [action, { execute }] of Object.entries(actions)) {
    if (typeof execute !== "function") {
      throw new TypeError(`${action} has no execute(params, credentials)`);
    }
  }
  return definition;
}
