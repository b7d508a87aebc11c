"""Who is asking: people through an OpenID provider, services through a client certificate.

Owns: OpenID Connect as a relying party (`oidc` on top of `discovery`, `jwks`, `fetch`), the pure checks of what a
provider and a browser send us (`tokens`, `keys`, `claims`, `callback`), background renewal (`refresh`), and the
validation of client certificates (`mtls` on top of `certification_path`, `name_constraints`, `subject_names`,
`revocation`, all pure). SAML 2.0 is a package of its own, `saml`.
Must not know: routes, policy, cookies, pages, how a session is stored.
To add: a check on tokens goes into `tokens`, with a row in tests/authn/lies.yaml; a way certificates can be wrong goes
into the matching pure module, with a row in tests/authn/certificates.yaml; another way of logging in is
a module beside `oidc`, or a package like `saml`, that ends in an `Identity`.
"""
