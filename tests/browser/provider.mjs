// A real OpenID provider (npm oidc-provider) on loopback, where signing in is picking who one is.
//
//     node provider.mjs --port 0 --config FILE        prints {"issuer": "http://localhost:PORT"}, and serves
//                                                     until its standard input ends
//
//     {
//       "clients": [{"id": "console", "secret": "...", "redirectUris": ["http://127.0.0.1/signed-in"]}],
//       "people": [{"id": "alice", "name": "Alice", "email": "alice@example.com", "groups": ["releases"]}],
//       "claimsInIdToken": false
//     }
//
// A client without a secret is a public one. A redirect URI on loopback holds for all ports (RFC 8252, 7.3).
// A person has whatever claims it has here, but for "id", which is "sub". Unless "claimsInIdToken" is set, they
// come from the userinfo endpoint only, as the specification has it where there is an access token.
//
// It is for tests and laptops: everybody on this machine can be anybody.

import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { parseArgs } from 'node:util';

// Early ones of Node 20 lack it. Node 18 lacks more.
URL.parse ??= (text, base) => (URL.canParse(text, base) ? new URL(text, base) : null);
const { Provider } = await import('oidc-provider');

const { values: options } = parseArgs({
  options: { port: { type: 'string', default: '0' }, config: { type: 'string' } },
});
if (!options.config) {
  console.error('usage: node provider.mjs --port 0 --config FILE');
  process.exit(2);
}
const config = JSON.parse(readFileSync(options.config, 'utf8'));
const people = new Map(config.people.map((person) => [person.id, person]));

const escapes = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' };
const escaped = (text) => String(text).replace(/[&<>"']/g, (character) => escapes[character]);

const page = (uid, client) => `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Who are you?</title>
<h1>Who are you?</h1>
<p>${escaped(client)} wants to know. Everybody here can be anybody.</p>
<form method="post" action="/interaction/${escaped(uid)}">
${[...people.values()]
  .map((person) => `<p><button name="person" value="${escaped(person.id)}">${escaped(person.name ?? person.id)}</button></p>`)
  .join('\n')}
<p><button name="person" value="">Nobody</button></p>
</form>
</html>
`;

const jwk = (type, parameters, alg) => ({
  ...generateKeyPairSync(type, parameters).privateKey.export({ format: 'jwk' }),
  use: 'sig',
  alg,
  kid: randomBytes(8).toString('hex'),
});

const configuration = () => ({
  clients: config.clients.map(({ id, secret, redirectUris }) => ({
    client_id: id,
    ...(secret ? { client_secret: secret } : { token_endpoint_auth_method: 'none' }),
    // Of a native one everybody is asked each time who they are, as here they should be.
    application_type: 'native',
    redirect_uris: redirectUris,
    grant_types: ['authorization_code'],
    response_types: ['code'],
  })),
  claims: {
    openid: ['sub'],
    profile: ['name', 'preferred_username', 'groups'],
    email: ['email', 'email_verified'],
  },
  conformIdTokenClaims: !config.claimsInIdToken,
  cookies: { keys: [randomBytes(32).toString('hex')] },
  features: { devInteractions: { enabled: false } },
  findAccount: (_context, id) => {
    if (!people.has(id)) return undefined;
    const { id: sub, ...claims } = people.get(id);
    return { accountId: sub, claims: () => ({ sub, ...claims }) };
  },
  interactions: { url: (_context, interaction) => `/interaction/${interaction.uid}` },
  jwks: { keys: [jwk('rsa', { modulusLength: 2048 }, 'RS256'), jwk('ec', { namedCurve: 'P-256' }, 'ES256')] },
  // Nobody is asked whether the client may know: it is the organisation's own.
  loadExistingGrant: async ({ oidc }) => {
    const grant = new oidc.provider.Grant({ accountId: oidc.session.accountId, clientId: oidc.client.clientId });
    grant.addOIDCScope('openid profile email');
    await grant.save();
    return grant;
  },
  pkce: { required: () => true },
  ttl: { AccessToken: 300, AuthorizationCode: 60, Grant: 3600, IdToken: 300, Interaction: 600, Session: 3600 },
});

const bodyOf = async (request) => {
  let text = '';
  for await (const piece of request) {
    text += piece;
    if (text.length > 10_000) throw new Error('a form is not that long');
  }
  return new URLSearchParams(text);
};

const interact = async (provider, request, response) => {
  const { uid, params } = await provider.interactionDetails(request, response);
  if (request.method !== 'POST') {
    response.writeHead(200, { 'content-type': 'text/html; charset=utf-8', 'cache-control': 'no-store' });
    response.end(page(uid, params.client_id));
    return;
  }
  const person = (await bodyOf(request)).get('person');
  const result = people.has(person)
    ? { login: { accountId: person }, consent: {} }
    : { error: 'access_denied', error_description: 'nobody signed in' };
  await provider.interactionFinished(request, response, result, { mergeWithLastSubmission: false });
};

// The issuer's name has the port in it, which the system chooses. To a browser it is another site than
// 127.0.0.1, where the console is: cookies have to do without its being the same.
const server = createServer();
server.listen(Number(options.port), '127.0.0.1', () => {
  const issuer = `http://localhost:${server.address().port}`;
  const provider = new Provider(issuer, configuration());
  const serve = provider.callback();
  server.on('request', (request, response) => {
    if (!request.url.startsWith('/interaction/')) return serve(request, response);
    return interact(provider, request, response).catch((error) => {
      response.writeHead(400, { 'content-type': 'text/plain; charset=utf-8' });
      response.end(`${error.name}\n`);
    });
  });
  console.log(JSON.stringify({ issuer }));
});

// Whoever started it holds the other end, and lets go of it by ending in whatever way.
process.stdin.resume().on('end', () => process.exit(0));
