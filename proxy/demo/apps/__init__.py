"""Three sample apps, as a developer would write them behind Ostiary.

`headers` shows what an app receives, `live` has a WebSocket and server-sent events, `api` is a plain JSON API. All
three believe nobody but the signed assertion, verified against the published key set (`caller`): whoever reaches them
around the proxy is turned away. Must not know: the proxy, but for the addresses of its keys and its name.
"""
