// A WebSocket server that shows what it was opened with in every way there is, and echoes all else.
//
// Its first line says its port; each line after that, how a socket was opened or that one closed.

import { WebSocketServer } from 'ws';

const say = (line) => process.stdout.write(`${JSON.stringify(line)}\n`);

const server = new WebSocketServer({
  host: '127.0.0.1',
  port: 0,
  // Agreed to with whoever offers it.
  perMessageDeflate: { threshold: 0 },
  // The last that is offered: where a token stands among the subprotocols.
  handleProtocols: (offered) => [...offered].at(-1),
});

server.on('listening', () => say({ port: server.address().port }));

server.on('connection', (socket, request) => {
  const { authorization = '', ...headers } = request.headers;
  const shown = authorization || socket.protocol || new URL(request.url, 'http://x').search;
  say({ opened: request.url, authorization, headers, extensions: socket.extensions });
  const ways = {
    text: () => socket.send(`you are ${shown}`),
    binary: () => socket.send(Buffer.from(`you are ${shown}`)),
    base64: () => socket.send(Buffer.from(shown).toString('base64')),
    json: () => socket.send(JSON.stringify({ you: [...shown].map((c) => `\\u00${c.charCodeAt(0).toString(16)}`).join('') }).replaceAll('\\\\', '\\')),
    fragments: () => {
      for (const letter of shown) socket.send(letter, { fin: false });
      socket.send('', { fin: true });
    },
    halves: () => {
      const [head, tail] = [shown.slice(0, -20), shown.slice(-20)];
      socket.send(`you are ${head}`, { fin: false });
      socket.ping('between');
      socket.send(`${tail}, I think`, { fin: true });
    },
    large: () => socket.send('x'.repeat(300_000) + shown + 'y'.repeat(300_000)),
    ping: () => socket.ping(shown.slice(-100)),
    pong: () => socket.pong(shown.slice(-100)),
    close: () => socket.close(4001, shown.slice(-100)),
    terminate: () => socket.terminate(),
  };
  socket.on('message', (data, isBinary) => {
    const way = isBinary ? undefined : ways[data.toString().replace(/^show as /, '')];
    if (way) way();
    else socket.send(data, { binary: isBinary });
  });
  socket.on('error', (error) => say({ error: error.message }));
  socket.on('close', (code, reason) => say({ closed: code, reason: reason.toString() }));
});

// Ends with whoever started it.
process.stdin.resume();
process.stdin.on('end', () => process.exit(0));
