// The certified OpenID provider on a loopback port of its own, for the provider tests.
// argv[2]: {"redirectUri", "postLogoutUri", "backchannelUri"}. Prints {"issuer"} when it listens. On stdin it takes
// one JSON object per line and answers {"ok": true}: {"account", "groups"} changes what it says about somebody,
// {"account", "closed"} makes it know nothing about them any more.
import { createServer } from 'node:http';
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { createInterface } from 'node:readline';
import { Provider } from 'oidc-provider';

const { redirectUri, postLogoutUri, backchannelUri } = JSON.parse(process.argv[2]);
const groups = new Map([['ann', ['sre', 'staff']]]);
const closed = new Set();

function signingKey(type, options, alg) {
  const { privateKey } = generateKeyPairSync(type, options);
  return { ...privateKey.export({ format: 'jwk' }), use: 'sig', alg, kid: alg };
}

function client(id, extra) {
  return {
    client_id: id,
    redirect_uris: [redirectUri],
    post_logout_redirect_uris: [postLogoutUri],
    backchannel_logout_uri: backchannelUri,
    backchannel_logout_session_required: true,
    grant_types: ['authorization_code', 'refresh_token'],
    response_types: ['code'],
    ...extra,
  };
}

const configuration = {
  clients: [
    client('confidential', { client_secret: 'secret with odd: +characters/', id_token_signed_response_alg: 'RS256' }),
    client('posting', { client_secret: 'another', token_endpoint_auth_method: 'client_secret_post', id_token_signed_response_alg: 'PS256' }),
    client('public', { token_endpoint_auth_method: 'none', id_token_signed_response_alg: 'ES256' }),
  ],
  jwks: {
    keys: [
      signingKey('rsa', { modulusLength: 2048 }, 'RS256'),
      signingKey('rsa', { modulusLength: 2048 }, 'PS256'),
      signingKey('ec', { namedCurve: 'P-256' }, 'ES256'),
    ],
  },
  enabledJWA: {
    idTokenSigningAlgValues: ['RS256', 'PS256', 'ES256'],
  },
  claims: {
    openid: ['sub', 'sid'],
    email: ['email', 'email_verified'],
    profile: ['name'],
    groups: ['groups'],
  },
  scopes: ['openid', 'email', 'profile', 'groups'],
  cookies: { keys: [randomBytes(32).toString('hex')] },
  features: {
    backchannelLogout: { enabled: true },
    rpInitiatedLogout: { enabled: true },
    devInteractions: { enabled: true },
  },
  // Its own fetch refuses loopback addresses, rightly; ours is where the back channel leads in these tests.
  fetch: async (url, options) => fetch(url, { ...options, dispatcher: undefined }),
  issueRefreshToken: async () => true,
  rotateRefreshToken: true,
  findAccount: async (_context, id) => closed.has(id) ? undefined : ({
    accountId: id,
    claims: async () => ({
      sub: id,
      email: `${id}@Example.COM`,
      email_verified: true,
      name: id,
      groups: groups.get(id) ?? [],
    }),
  }),
};

const server = createServer();
server.listen(0, '127.0.0.1', () => {
  const issuer = `http://127.0.0.1:${server.address().port}`;
  const provider = new Provider(issuer, configuration);
  provider.on('server_error', (_context, error) => console.error(error));
  provider.on('backchannel.error', (_context, error) => console.error(error));
  server.on('request', provider.callback());
  console.log(JSON.stringify({ issuer }));
});

const commands = createInterface({ input: process.stdin });
commands.on('line', (line) => {
  const command = JSON.parse(line);
  if (command.closed) closed.add(command.account);
  else groups.set(command.account, command.groups);
  console.log(JSON.stringify({ ok: true }));
});
commands.on('close', () => process.exit(0)); // whoever started us is gone
