"""The development identity provider: a real OpenID provider for one client, without passwords.

Owns OpenID Connect from the provider's side: discovery, authorization code with PKCE, rotating refresh tokens,
userinfo, logout started by the client (RP-initiated) and told to it (back-channel). `ledger` holds what was granted
(pure, time is a parameter), `tokens` signs, `authorize`, `token` and `logout` are the endpoints, `server` puts them
together. Must not know: the proxy. It is a provider like any other, but for the login page, where everybody may be
anybody: so it starts from `ostiary demo` only, on loopback only.
To add a person: `people.json`.
"""
