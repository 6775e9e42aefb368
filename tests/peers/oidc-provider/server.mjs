// A real authorization server (npm oidc-provider) in a process of its own, for the journeys about
// connected apps. It listens on loopback, keeps everything in memory, and takes any login.
//
// `node server.mjs '{"rotate":"always", …}'` prints {"port":N} on stdout. After that each line on
// stdin is a command, a JSON object with `do`, and is answered by one line on stdout. It ends when
// stdin does. What each command does is told where it stands, under COMMANDS.

import { generateKeyPairSync } from 'node:crypto';
import { createServer } from 'node:http';
import { createInterface } from 'node:readline';

import Provider from 'oidc-provider';
import MemoryAdapter from 'oidc-provider/lib/adapters/memory_adapter.js';

// Stdout carries answers only; the library talks on it as well.
console.info = console.error;
console.log = console.error;

const settings = {
  rotate: 'always', // or 'never'
  access_ttl: 3600, // seconds, as all of them
  refreshed_ttl: null, // of access tokens that a refresh gives, where that is another
  grace: 0, // so long a refresh token still works after it was spent
  refresh_ttl: 86400,
  code_ttl: 60,
  device_ttl: 600,
  clients: [],
  ...JSON.parse(process.argv[2] ?? '{}'),
};

// The library's own store forgets what is old once it has a thousand entries: a hundred logins.
class Store {
  #entries = new Map();

  get(key) {
    const entry = this.#entries.get(key);
    return entry && entry.until > Date.now() ? entry.value : undefined;
  }

  set(key, value, { maxAge = Infinity } = {}) {
    this.#entries.set(key, { value, until: Date.now() + maxAge });
  }

  delete(key) {
    this.#entries.delete(key);
  }

  *of(model) {
    for (const key of [...this.#entries.keys()].filter((key) => key.startsWith(`${model}:`))) {
      const value = this.get(key);
      if (value) yield [key.slice(model.length + 1), value];
    }
  }
}

const store = new Store();

// The library knows of no grace.
class Graced extends MemoryAdapter {
  async consume(id) {
    if (settings.grace > 0) setTimeout(() => super.consume(id).catch(() => {}), settings.grace * 1000).unref();
    else await super.consume(id);
  }
}

const METHODS = {
  basic: 'client_secret_basic', post: 'client_secret_post', key: 'private_key_jwt', none: 'none',
};

// What the server knows a client by. Of a client with a key, which is a JWK, that is the public half.
function credential(auth, secret) {
  if (auth === 'none') return {};
  if (auth !== 'key') return { client_secret: secret };
  const { kty, crv, x, y, n, e, kid } = JSON.parse(secret);
  const alg = kty === 'RSA' ? 'RS256' : 'ES256';
  return {
    jwks: { keys: [{ kty, crv, x, y, n, e, kid, use: 'sig' }] },
    token_endpoint_auth_signing_alg: alg,
  };
}

// A client is looked up for each request, so that it may change while the server runs.
function setClient({ id, secret, auth, redirect_uris }) {
  store.set(`Client:${id}`, {
    client_id: id,
    ...credential(auth, secret),
    client_name: 'RunTools Broker (test)',
    application_type: auth === 'none' ? 'native' : 'web',
    token_endpoint_auth_method: METHODS[auth],
    grant_types: [
      'authorization_code', 'refresh_token', 'urn:ietf:params:oauth:grant-type:device_code',
    ],
    response_types: ['code'],
    redirect_uris,
  });
}

function configuration() {
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  return {
    adapter: (model) => new (model === 'RefreshToken' ? Graced : MemoryAdapter)(model, store),
    jwks: { keys: [{ ...privateKey.export({ format: 'jwk' }), kid: 'peer', alg: 'RS256', use: 'sig' }] },
    cookies: { keys: ['peer'] },
    scopes: ['openid', 'offline_access', 'read', 'write'],
    claims: {
      openid: ['sub'],
      email: ['email', 'email_verified'],
      profile: ['name', 'preferred_username'],
    },
    pkce: { required: () => true },
    rotateRefreshToken: () => settings.rotate === 'always',
    features: {
      devInteractions: { enabled: true },
      deviceFlow: { enabled: true },
      introspection: { enabled: true },
      revocation: { enabled: true },
    },
    ttl: {
      AccessToken: (ctx) => (ctx?.oidc?.params?.grant_type === 'refresh_token' && settings.refreshed_ttl)
        || settings.access_ttl,
      RefreshToken: () => settings.refresh_ttl,
      AuthorizationCode: () => settings.code_ttl,
      DeviceCode: () => settings.device_ttl,
      IdToken: () => 3600,
      Grant: () => 86400,
      Interaction: () => 3600,
      Session: () => 86400,
    },
    findAccount: (_, id) => ({
      accountId: id,
      claims: () => ({
        sub: id,
        name: `${id} of Peer`,
        preferred_username: id,
        email: `${id}@peer.example`,
        email_verified: true,
      }),
    }),
  };
}

// What arrived, in order. `processed` is the status that the real server came to, `status` the one
// that was sent: each null until then, or for ever.
let log = [];
const secrets = new Set();
const faults = [];
let held = [];

const SECRET_PARAMETERS = [
  'code', 'code_verifier', 'refresh_token', 'access_token', 'id_token', 'token', 'client_secret',
  'device_code', 'client_assertion',
];

function learn(pairs) {
  for (const [name, value] of pairs) {
    if (SECRET_PARAMETERS.includes(name) && typeof value === 'string') secrets.add(value);
  }
}

function note(req, body) {
  const url = new URL(req.url, 'http://peer');
  const kind = req.headers['content-type'] ?? '';
  const form = kind.startsWith('application/x-www-form-urlencoded') ? [...new URLSearchParams(body.toString())] : [];
  const names = form.map(([name]) => name);
  const [scheme, credential] = (req.headers.authorization ?? '').split(' ');
  const ways = [
    scheme && scheme.toLowerCase(),
    names.includes('client_secret') && 'post',
    names.includes('client_assertion') && 'assertion',
  ].filter(Boolean);
  if (scheme.toLowerCase() === 'bearer') secrets.add(credential);
  learn(form);
  const entry = {
    method: req.method,
    path: url.pathname,
    query: [...url.searchParams],
    form,
    auth: ways.join('+') || 'none',
    processed: null,
    status: null,
  };
  log.push(entry);
  return entry;
}

function learnFromAnswer(entry, res, body) {
  const location = res.getHeader('location');
  if (location) learn(new URL(location, 'http://peer').searchParams);
  if (/json/.test(res.getHeader('content-type') ?? '') && entry.path !== '/jwks') {
    learn(Object.entries(JSON.parse(body.toString())));
  }
}

function takeFault(entry, when) {
  const grant = entry.form.find(([name]) => name === 'grant_type')?.[1];
  const fault = faults.find((fault) => fault.count > 0 && fault.when === when
    && fault.path === entry.path && (!fault.grant || fault.grant === grant));
  if (fault) fault.count -= 1;
  return fault;
}

const sleep = (ms) => new Promise((resolve) => { setTimeout(resolve, ms); });

// Does what the fault says, and tells whether to go on as if nothing had been.
async function suffer(fault, entry, res, send) {
  await sleep(fault.delay_ms ?? 0);
  switch (fault.then) {
    case 'go_on':
      return true;
    case 'hold':
      await new Promise((resolve) => { held.push(resolve); });
      return true;
    case 'close':
      res.destroy();
      return false;
    default:
      res.getHeaderNames().forEach((name) => res.removeHeader(name));
      res.statusCode = fault.status;
      Object.entries(fault.headers ?? {}).forEach(([name, value]) => res.setHeader(name, value));
      send(Buffer.from(fault.body ?? ''));
      return false;
  }
}

async function serve(callback, req, res) {
  const chunks = [];
  for await (const chunk of req) chunks.push(chunk);
  req.body = Buffer.concat(chunks);
  const entry = note(req, req.body);
  const { end } = res;
  const send = (body) => {
    // Whoever left gets nothing.
    if (!res.destroyed) entry.status = res.statusCode;
    end.call(res, body);
  };
  res.on('error', () => {});

  const before = takeFault(entry, 'before');
  if (before && !(await suffer(before, entry, res, send))) return;

  const answer = [];
  const keep = (chunk, encoding) => {
    if (chunk && typeof chunk !== 'function') answer.push(Buffer.from(chunk, encoding));
  };
  res.write = (chunk, encoding) => { keep(chunk, encoding); return true; };
  res.end = (chunk, encoding) => {
    keep(chunk, encoding);
    const body = Buffer.concat(answer);
    entry.processed = res.statusCode;
    learnFromAnswer(entry, res, body);
    const after = takeFault(entry, 'after');
    const going = after ? suffer(after, entry, res, send) : Promise.resolve(true);
    going.then((on) => on && send(body));
    return res;
  };
  callback(req, res);
}

const COMMANDS = {
  // Changes rotate, the grace and the lifetimes.
  set: ({ do: _, ...more }) => Object.assign(settings, more),
  // Adds or changes a client: its secret, its redirect URIs.
  client: ({ client }) => setClient(client),
  log: () => log,
  forget: () => { log = []; },
  // Every token, code, verifier and client secret that came or went.
  secrets: () => [...secrets],
  // The next `count` requests for `path` (and, if given, of grant type `grant`) go wrong, `when`
  // 'before' or 'after' the real server worked on them. `then`: 'reply' {status, headers, body},
  // 'close', 'hold' until released and then go on, 'go_on'; each after `delay_ms`.
  fault: ({ do: _, ...fault }) => { faults.push(fault); },
  mend: () => { faults.length = 0; },
  held: () => held.length,
  release: () => {
    held.forEach((go) => go());
    held = [];
  },
  // The person takes back, on the provider's side, all that was granted.
  revoke: async ({ login }) => {
    for (const [id, grant] of store.of('Grant')) {
      if (grant.accountId === login) {
        store.delete(`Grant:${id}`);
        await new MemoryAdapter('Grant', store).revokeByGrantId(id);
      }
    }
  },
};

const answer = (value) => process.stdout.write(`${JSON.stringify(value ?? null)}\n`);

settings.clients.forEach(setClient);
const server = createServer();
server.listen(0, '127.0.0.1', () => {
  const { port } = server.address();
  const provider = new Provider(`http://127.0.0.1:${port}`, configuration());
  provider.on('server_error', (_, error) => console.error(error));
  const callback = provider.callback();
  server.on('request', (req, res) => serve(callback, req, res).catch((error) => {
    console.error(error);
    res.destroy();
  }));
  answer({ port });
  createInterface({ input: process.stdin })
    .on('line', async (line) => {
      const command = JSON.parse(line);
      answer(await COMMANDS[command.do](command));
    })
    .on('close', () => process.exit(0));
});
