"""What we answer ourselves: login and its callback, logout, the portal, and the pages people see when refused.

Owns every path in `endpoints`, the HTML in `templates/` and the words around a `Reason`. It is an ordinary aiohttp
application on a private socket; the gateway relays to it and says who is asking in headers a client cannot set.
Must not know: how bytes reach it, how sessions are stored, how tokens are verified, how rules are decided.
To add a page: a template, its entry in `pages`, a handler, a row in `app`. To add a refusal: `proxy.model.reasons`.
"""
