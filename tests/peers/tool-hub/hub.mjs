// A small Tool Hub. It asks the broker for a handle, runs the code of a tool in a process of its own with
// placeholders for credentials, and ends the handle. It never holds a credential, and neither does the code.
//
//     BROKER=http://127.0.0.1:8420 BROKER_KEY=rt_… node hub.mjs MODULE ACTION '{"a":"parameter"}'

import { fork } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";

const here = (name) => fileURLToPath(new URL(name, import.meta.url));
const [module, action, params = "{}"] = process.argv.slice(2);
const { BROKER, BROKER_KEY, BROKER_SUBJECT } = process.env;

/** Asks the broker. Whose credentials are meant is said by a token of theirs, where the key is a service's. */
async function broker(method, path, body) {
  const headers = { "x-api-key": BROKER_KEY, "content-type": "application/json" };
  if (BROKER_SUBJECT) {
    headers["x-runtools-subject-token"] = BROKER_SUBJECT;
  }
  const answer = await fetch(BROKER + path, { method, headers, body: body && JSON.stringify(body) });
  const document = await answer.json();
  if (!answer.ok) {
    throw new Error(`${document.error.code}: ${document.error.message} ${document.error.hint ?? ""}`);
  }
  return document.data;
}

/** Runs `asked` in a process that has nothing of ours in its environment but `env`. */
async function run(asked, env) {
  const child = fork(here("runner.mjs"), {
    execArgv: ["--import", here("route.mjs")],
    env: { PATH: process.env.PATH, ...env },
    stdio: ["ignore", "pipe", "pipe", "ipc"],
  });
  const said = new Promise((done, failed) => {
    child.once("message", done);
    child.once("exit", (code) => failed(new Error(`the tool's process ended with ${code}`)));
  });
  const printed = Promise.all([text(child.stdout), text(child.stderr)]);
  child.send(asked);
  const answer = await said;
  const [stdout, stderr] = await printed;
  return { ...answer, stdout, stderr };
}

async function main() {
  const file = resolve(module);
  // Who a tool is, is asked of its code too, and code is run only over there.
  const tool = await run({ module: file });
  if (tool.error) {
    throw new Error(tool.error.message);
  }
  const handle = await broker("POST", "/v1/resolve", {
    tool: tool.name,
    lane: "proxy",
    maxUses: 100,
    ttlSeconds: 300,
  });
  const folder = mkdtempSync(join(tmpdir(), "tool-hub-"));
  try {
    const { url, username, certificateAuthority } = handle.proxy;
    const authority = join(folder, "authority.pem");
    writeFileSync(authority, certificateAuthority, { mode: 0o600 });
    const proxy = url.replace("://", `://${username}:${handle.handle}@`);
    const env = { HTTPS_PROXY: proxy, HTTP_PROXY: proxy, NODE_EXTRA_CA_CERTS: authority };
    const asked = { module: file, action, params: JSON.parse(params), credentials: handle.placeholders };
    return await run(asked, env);
  } finally {
    rmSync(folder, { recursive: true });
    await broker("DELETE", `/v1/resolutions/${handle.id}`);
  }
}

try {
  console.log(JSON.stringify(await main()));
} catch (error) {
  console.error(error.message);
  process.exitCode = 1;
}
