// A real OpenID provider (npm oidc-provider) on loopback, for Apache mod_auth_openidc to log in at.
// Its development log-in form accepts any name; it serves nothing but these load tests.
import { Provider } from 'oidc-provider';

const [, , port, callback] = process.argv;
const provider = new Provider(`http://127.0.0.1:${port}`, {
  clients: [{
    client_id: 'loadtests',
    client_secret: 'not-a-secret-loopback-only',
    redirect_uris: [callback],
    grant_types: ['authorization_code', 'refresh_token'],
    response_types: ['code'],
  }],
  features: { devInteractions: { enabled: true } },
  claims: { openid: ['sub'], email: ['email', 'email_verified'], profile: ['name', 'groups'] },
  cookies: { keys: ['loadtests'] },
  findAccount: async (_ctx, id) => ({
    accountId: id,
    claims: async () => ({ sub: id, email: `${id}@example.com`, email_verified: true, name: id, groups: ['eng'] }),
  }),
});
provider.listen(Number(port), '127.0.0.1');
