// A SAML identity provider made of npm `samlp`, on a loopback port of its own, for the provider tests.
// Prints {"origin"} when it listens. On stdin it takes one JSON object per line and answers {"ok": true}:
// {"entityId", "acs", "slo", "cert", "encrypt"} says who we are, as an administrator would from our metadata.
import { createServer } from 'node:http';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { randomBytes } from 'node:crypto';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import samlp from 'samlp';
import SessionParticipants from 'samlp/lib/sessionParticipants/index.js';

const PEOPLE = {
  ann: { name: 'Ann Archer', email: 'ann@partner.example', groups: ['staff', 'sre'] },
  bob: { name: 'Bob Baker', email: 'bob@partner.example', groups: ['staff'] },
};
const REDIRECT = 'urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect';
const issuer = 'urn:samlp.partner.example';
const sessions = new Map(); // by cookie: {user, index, participants, …what samlp keeps of a logout}
let sp;

function makeKey() { // node makes no certificates
  const folder = mkdtempSync(join(tmpdir(), 'samlp-'));
  const [key, cert] = [join(folder, 'key.pem'), join(folder, 'cert.pem')];
  execFileSync('openssl', ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '1', '-subj', '/CN=samlp',
    '-keyout', key, '-out', cert], { stdio: 'ignore' });
  const made = { key: readFileSync(key), cert: readFileSync(cert) };
  rmSync(folder, { recursive: true });
  return made;
}

const own = makeKey();

class Mapper {
  static metadata = [];
  constructor(user) { this.user = user; }
  getClaims() { return { email: this.user.email, name: this.user.name, groups: this.user.groups }; }
  getNameIdentifier() {
    return { nameIdentifier: this.user.id, nameIdentifierFormat: 'urn:oasis:names:tc:SAML:2.0:nameid-format:persistent' };
  }
}
const mapper = Object.assign((user) => new Mapper(user), { prototype: { metadata: [] } });

// What samlp needs of Express.
function dress(req, res) {
  const url = new URL(req.url, `http://${req.headers.host}`);
  req.originalUrl = req.url;
  req.protocol = 'http';
  req.path = url.pathname;
  req.query = Object.fromEntries(url.searchParams);
  res.set = (name, value) => res.setHeader(name, value);
  res.send = (first, second) => {
    if (typeof first === 'number') res.statusCode = first;
    res.end(second ?? (typeof first === 'number' ? `done: ${first}` : first));
  };
  res.redirect = (where) => { res.writeHead(302, { Location: where }).end(); };
}

async function body(req) {
  const parts = [];
  for await (const part of req) parts.push(part);
  return Object.fromEntries(new URLSearchParams(Buffer.concat(parts).toString()));
}

function session(req, res) {
  let id = /(?:^|; )idp=([0-9a-f]+)/.exec(req.headers.cookie ?? '')?.[1];
  if (!sessions.has(id)) {
    id = randomBytes(16).toString('hex');
    sessions.set(id, {});
    res.setHeader('Set-Cookie', `idp=${id}; Path=/; HttpOnly`);
  }
  return sessions.get(id);
}

function loginPage(req, res) {
  res.set('Content-Type', 'text/html');
  res.send(`<form method="post" action="${req.url.replaceAll('&', '&amp;')}"><input name="username">
    <input name="password" type="password"><button>Log in</button></form>`);
}

function sso(req, res, next) {
  const state = req.session;
  if (PEOPLE[req.body.username]) { // and back to the address with the request, whose signature is in its query
    Object.assign(state, { user: { id: req.body.username, ...PEOPLE[req.body.username] }, index: randomBytes(8).toString('hex') });
    return res.redirect(req.url);
  }
  if (!state.user) return loginPage(req, res);
  state.participants = [{
    serviceProviderId: sp.entityId, nameId: state.user.id, sessionIndex: state.index,
    serviceProviderLogoutURL: sp.slo, cert: sp.cert, binding: sp.binding,
    nameIdFormat: 'urn:oasis:names:tc:SAML:2.0:nameid-format:persistent',
  }];
  samlp.auth({
    issuer, ...own, profileMapper: mapper, getUserFromRequest: () => state.user, signingCert: sp.cert,
    getPostURL: (audience, _request, _req, done) => done(null, audience === sp.entityId ? sp.acs : undefined),
    recipient: sp.acs, destination: sp.acs, sessionIndex: state.index, signResponse: sp.signResponse,
    authnContextClassRef: 'urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport',
    ...(sp.encrypt ? { encryptionCert: sp.cert, encryptionPublicKey: sp.publicKey, encryptionAlgorithm: sp.encrypt,
      disallowEncryptionWithInsecureAlgorithm: false, warnOnInsecureEncryptionAlgorithm: false } : {}),
  })(req, res, next);
}

function logout(req, res, next) {
  const state = req.session;
  const participants = new SessionParticipants(state.participants ?? []);
  samlp.logout({
    issuer, ...own, sessionParticipants: participants, deflate: true, protocolBinding: sp.binding,
    clearIdPSession: (done) => { delete state.user; delete state.participants; done(); },
  })(req, res, next);
}

const metadata = samlp.metadata({
  issuer, cert: own.cert, profileMapper: mapper, redirectEndpointPath: '/sso', postEndpointPath: '/sso',
  logoutEndpointPaths: { redirect: '/logout', post: '/logout' },
});

const server = createServer(async (req, res) => {
  dress(req, res);
  req.body = req.method === 'POST' ? await body(req) : {};
  req.session = session(req, res);
  const next = (error) => { console.error(error); res.statusCode = 400; res.end(String(error)); };
  const handler = { '/sso': sso, '/logout': logout, '/metadata': metadata }[req.path];
  try {
    if (handler) handler(req, res, next);
    else res.writeHead(404).end();
  } catch (error) { next(error); }
});
server.listen(0, '127.0.0.1', () => console.log(JSON.stringify({ origin: `http://127.0.0.1:${server.address().port}` })));

const commands = createInterface({ input: process.stdin });
commands.on('line', (line) => {
  sp = { binding: REDIRECT, ...JSON.parse(line) };
  console.log(JSON.stringify({ ok: true }));
});
commands.on('close', () => process.exit(0)); // whoever started us is gone
