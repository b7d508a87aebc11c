"""A partner company's SAML provider, for the demo: real signatures, no passwords.

Owns: metadata, the login page, responses with signed assertions, single logout (`messages`, `server`), its people.
Development only: it listens on loopback, starts from `ostiary demo` alone, and its key lives as long as it does.
Must not know: anything of the proxy but what the proxy's own metadata says.
To add a person: `people.json`. To add something a provider says: `messages`.
"""
