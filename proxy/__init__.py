"""Ostiary, an identity-aware reverse proxy: the map.

Layers. A room imports from below only; rooms on one line never import each other: `make lint` checks it.
◇ is pure: no I/O, no clock, no event loop, so time is a parameter and every input can be replayed.

    cli/         the command line: serve, demo, check, certs, sessions, devices, factors, device
    demo/        identity providers, apps, laptops, certificates and a tour
    agent/       posture, on an employee's machine (both meet the proxy over the network only)
    app/         the composition root: settings → objects → processes; start, reload, drain. Only this room constructs
    gateway/     the ways in: the life of a request          admin.py    health, readiness, metrics
    web/         what we answer ourselves: login, logout, portal, refused
    authn/       who is asking: OpenID Connect, SAML, mTLS, tokens, second factors
    devices/     from what: inventory, posture               upstream/   the apps behind: pools, weights, health
    sessions/    who is logged in; stores; revocation        audit/      the decision record
    net/         listeners, TLS, connections, deadlines
    telemetry/   metrics, logs
    settings/    the configuration: schema ◇, parse ◇, checks, load, watch
    policy/ ◇    rules → verdict      routing.py ◇    host + path → route      assertion.py ◇    who calls, signed
    wire/ ◇      HTTP/1.1, canonical host and path, the WebSocket handshake     pki/    our own certificates
    model/ ◇     identity, facts, verdict, and the closed list of reasons

Pure besides these: `authn/mtls.py`, `authn/tokens.py` and what they use, `sessions/session.py`, `audit/event.py`.

The request's way, with the file where each step is:

    accept       net/acceptor.py       caps, TLS handshake (net/tls.py: certificate by SNI)
    read         net/downstream.py     one request at a time, deadlines; bytes → wire/request.py, body.py
    begin        gateway/http.py       from here on, phases in order, on one page:
    route        gateway/http.py       wire/host.py, wire/path.py → gateway/snapshot.py → routing.py
    identify     gateway/identifying.py  certificate: authn/mtls.py; token: authn/workload/; cookie: sessions/service.py
    decide       gateway/http.py       model/facts.py → policy/decide.py → model/verdict.py
    act          gateway/http.py       allow: gateway/stamp.py (strip, sign), sending.py, upstream/pool.py, relay.py
                                       challenge: a redirect to web/login.py      deny: web/refusals.py
    record       gateway/record.py     audit/event.py → audit/journal.py; telemetry/metrics.py

Our own pages are a route like any other, to an application on a private socket (web/app.py): there is no second way in.
A session that ends, here or in another worker, cuts what it has open: sessions/bus.py → sessions/service.py → `cut`.
What is open is decided again when its facts, its rules or the time change: gateway/watch.py.
A reload builds everything beside what is in force, then swaps it whole: app/reload.py, worker.py, compose.py.

To add …, go to …

    a configuration key          settings/schema/ (its comment is the editors' help), then `ostiary check --schema`
    a check across keys          settings/checks/, and a case in tests/settings/broken.yaml
    a rule condition             policy/conditions/__init__.py, one file per family; a row in tests/policy/verdicts.yaml
    a fact to decide on          model/facts.py; it is gathered in gateway/http.py and recorded by itself
    a way of being refused       model/reasons.py, one row
    a page                       web/app.py and web/templates/
    a metric                     telemetry/catalogue.py, one row
    a field of the record        audit/event.py
    a header only we may write   wire/fields.py, one row
    a session store              sessions/store.py, and its name in tests/sessions/test_store_contract.py
    a way of logging in          a module beside authn/oidc.py that ends in a LoginResult
    a fact a device tells        agent/collect/, one file per system, and a machine in tests/agent/recorded/
    an attribute of devices      model/device.py, one row; how it is mended: policy/device_words.py
    a management system          devices/management/, a module beside intune.py; settings/schema/devices.py
    a second factor              authn/factors/, and its page in web/second_factor.py
    who vouches for services     authn/workload/; settings/schema/workloads.py
    a check on SAML              authn/saml/, the file of the step, and a lie under tests/authn/saml/
    a check on tokens            authn/tokens.py, and a row in tests/authn/lies.yaml
    a command                    cli/__init__.py, one row, and its module
    something an attacker sends  a row in the table of its class: README, “What we do with attacks”
"""

__version__ = "0.1.0"
