"""The ways in: what happens to a request, from its head to its record.

`http.py` is the page to read: the life of one request, phases in order. The rest serves it:

    http.py       the life of a request              admission.py  who asks; the facts; the verdict
    identifying.py  by token, session, certificate   views.py      what is asked of devices and of tokens
    bearer.py     a token in a header                forms.py      a form that must wait for a login
    acting.py     refuse, log in, redirect           answers.py    how such an answer is written
    sending.py    the request to the app             relay.py      the app's answer; flow control; deadlines
    stamp.py      the head the app gets              upgrade.py    WebSockets and other protocols
    record.py     one line and some counters for each request
    plan.py       a route, prepared                  snapshot.py   the whole configuration, prepared, immutable
    known.py      what follows from a request's fields alone, worked out once
    door.py       a listener's door: an exchange for each request
    redirector.py the door of clear text: to https   watch.py      what is open is decided again when facts change
    farewell.py   how a tunnel is ended

Owns the order of phases. Must not know: how sessions are stored, how identities are proved, what pages look like.
"""
