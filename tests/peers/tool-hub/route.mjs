// Loaded before the code of a tool (`node --import`): from here on its connections go through the proxy that
// the environment names, whether it calls `fetch`, or a library that uses `https`. The code does not notice.
//
// Node 24 does the first with NODE_USE_ENV_PROXY. Node 20 reads no such variable, and no version has libraries
// go through it that bring an `https.Agent` of their own: so that is done here.

import http from "node:http";
import https from "node:https";
import tls from "node:tls";
import { Agent, ProxyAgent, setGlobalDispatcher } from "undici";

const address = process.env.HTTPS_PROXY ?? process.env.https_proxy;
const direct = (process.env.NO_PROXY ?? "").split(",");

const plain = new Agent();

class Route extends ProxyAgent {
  dispatch(options, handler) {
    const { hostname } = new URL(options.origin);
    return direct.includes(hostname) ? plain.dispatch(options, handler) : super.dispatch(options, handler);
  }
}

if (address) {
  setGlobalDispatcher(new Route(address));
  const proxy = new URL(address);
  const right = Buffer.from(`${proxy.username}:${proxy.password}`).toString("base64");
  const connect = https.Agent.prototype.createConnection;

  https.Agent.prototype.createConnection = function (options, done) {
    const host = options.host ?? options.hostname ?? "localhost";
    if (direct.includes(host)) {
      return connect.call(this, options, done);
    }
    const target = `${host}:${options.port ?? 443}`;
    const asked = http.request({
      host: proxy.hostname,
      port: proxy.port,
      method: "CONNECT",
      path: target,
      headers: { host: target, "proxy-authorization": `Basic ${right}` },
      agent: false,
    });
    asked.once("error", done);
    asked.once("connect", (answer, socket) => {
      if (answer.statusCode !== 200) {
        socket.destroy();
        done(new Error(`the proxy refuses ${target}: ${answer.statusCode}`));
        return;
      }
      done(null, tls.connect({ ...options, socket, servername: options.servername || host }));
    });
    asked.end();
    return undefined;
  };
}
