"""The ways in: what happens to a request, from its head to its record.

`http.py` is the page to read: the life of one request, phases in order. The rest serves it:

    http.py       the life of a request            relay.py     bytes both ways between client and app
    admission.py  who asks; the facts; the verdict  stamp.py     the head the app gets, with our identity headers
    answers.py    refusals and redirects            record.py    one line and some counters for each request
    plan.py       a route, prepared                 snapshot.py  the whole configuration, prepared and immutable
    door.py       a listener's door: opens an exchange for each request

Owns the order of phases. Must not know: how sessions are stored, how identities are proved, what pages look like.
"""
