// A WebSocket client that does what its one argument says, and prints all that it saw in one line.
//
// {"url", "headers", "protocols", "send": [texts], "count": messages echoed one after another,
//  "until": after how many messages, pings and pongs it closes; never without it}

import { WebSocket } from 'ws';

const wish = JSON.parse(process.argv[2]);
const seen = { messages: [], pings: [], pongs: [] };

const done = () => {
  process.stdout.write(`${JSON.stringify(seen)}\n`, () => process.exit(0));
};

const socket = new WebSocket(wish.url, wish.protocols ?? [], {
  headers: wish.headers,
  perMessageDeflate: { threshold: 0 },
});

const total = () => seen.messages.length + seen.pings.length + seen.pongs.length;
const look = () => {
  if (typeof wish.until === 'number' && total() >= wish.until) socket.close(1000, 'enough');
};

// The same many messages, each sent when the one before it has come back.
let echoed = 0;
const next = () => socket.send(`message ${echoed}`);

socket.on('upgrade', (response) => {
  seen.head = response.headers;
});
socket.on('unexpected-response', (_, response) => {
  seen.status = response.statusCode;
  let body = '';
  response.on('data', (piece) => (body += piece));
  response.on('end', () => {
    seen.body = body;
    done();
  });
});
socket.on('open', () => {
  seen.extensions = socket.extensions;
  seen.protocol = socket.protocol;
  for (const text of wish.send ?? []) socket.send(text);
  if (wish.count) next();
});
socket.on('message', (data, isBinary) => {
  if (!wish.count) {
    seen.messages.push({ text: data.toString(), isBinary });
    return look();
  }
  if (data.toString() !== `message ${echoed}`) throw new Error(`another message: ${data}`);
  echoed += 1;
  if (echoed < wish.count) return next();
  seen.echoed = echoed;
  socket.close(1000, 'enough');
});
socket.on('ping', (data) => {
  seen.pings.push(data.toString());
  look();
});
socket.on('pong', (data) => {
  seen.pongs.push(data.toString());
  look();
});
socket.on('error', (error) => {
  seen.error = error.message;
});
socket.on('close', (code, reason) => {
  seen.closed = code;
  seen.reason = reason.toString();
  done();
});

setTimeout(() => {
  seen.late = true;
  done();
}, 60_000).unref();
