// Vendors' own libraries, unmodified, each used as its manual says:
//
//     node --import ../tool-hub/route.mjs clients.mjs LIBRARY ORIGIN
//     node clients.mjs ws URL
//
// Keys come from the environment, where each library looks. What came back is printed with all that this process
// knows of itself; then it waits, so that its memory can be searched, until its standard input ends.

import Anthropic from "@anthropic-ai/sdk";
import { Octokit } from "@octokit/rest";
import { WebClient } from "@slack/web-api";
import { HttpsProxyAgent } from "https-proxy-agent";
import events from "node:events";
import OpenAI from "openai";
import Stripe from "stripe";
import { WebSocket } from "ws";

const [library, origin] = process.argv.slice(2);
const once = { maxRetries: 0 };
const asked = [{ role: "user", content: "hello" }];

const uses = {
  async octokit() {
    const octokit = new Octokit({ auth: process.env.GITHUB_TOKEN, baseUrl: origin });
    const user = await octokit.rest.users.getAuthenticated();
    const made = await octokit.rest.issues.create({ owner: "a", repo: "b", title: "it's", body: "ä" });
    return [user.data, user.headers, made.data];
  },

  async openai() {
    const client = new OpenAI({ baseURL: `${origin}/v1`, ...once });
    const { data, response } = await client.chat.completions.create({ model: "m", messages: asked }).withResponse();
    const stream = await client.chat.completions.create({ model: "m", messages: asked, stream: true });
    const pieces = [];
    for await (const piece of stream) {
      pieces.push(piece);
    }
    return [data, Object.fromEntries(response.headers), pieces];
  },

  async anthropic() {
    const client = new Anthropic({ baseURL: origin, ...once });
    const message = { model: "m", max_tokens: 16, messages: asked };
    const { data, response } = await client.messages.create(message).withResponse();
    const pieces = [];
    for await (const piece of await client.messages.create({ ...message, stream: true })) {
      pieces.push(piece);
    }
    return [data, Object.fromEntries(response.headers), pieces];
  },

  async stripe() {
    const { hostname, port } = new URL(origin);
    const stripe = new Stripe(process.env.STRIPE_API_KEY, { host: hostname, port, maxNetworkRetries: 0, telemetry: false });
    const customers = await stripe.customers.list({ limit: 1 });
    const made = await stripe.customers.create({ email: "ann@example.com" });
    return [customers, made, made.lastResponse.headers];
  },

  async slack() {
    const retryConfig = { retries: 0 };
    const slack = new WebClient(process.env.SLACK_BOT_TOKEN, { slackApiUrl: `${origin}/api/`, retryConfig });
    return [await slack.auth.test(), await slack.chat.postMessage({ channel: "C1", text: "hello" })];
  },

  async ws() {
    const agent = new HttpsProxyAgent(process.env.HTTPS_PROXY);
    const headers = { authorization: `Bearer ${process.env.LIVE_API_KEY}` };
    const socket = new WebSocket(origin, { agent, headers });
    const came = [];
    socket.on("upgrade", (answer) => came.push(answer.headers));
    socket.on("message", (data) => came.push(data.toString()));
    await events.once(socket, "open");
    for (const text of ["hello", "show as text", "show as binary", "show as fragments", "show as close"]) {
      socket.send(text);
    }
    const [code, reason] = await events.once(socket, "close");
    return [...came, `${code} ${reason}`];
  },
};

let came;
try {
  came = await uses[library]();
} catch (error) {
  came = { failed: error.message, status: error.status, cause: error.cause?.message, body: error.error };
  process.exitCode = 1;
}
const { pid, argv, execArgv, env } = process;
console.log(JSON.stringify({ pid, argv, execArgv, env, came }));
process.stdin.resume();
await new Promise((ended) => process.stdin.once("end", ended));
