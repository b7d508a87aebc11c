"""Load tests: what Ostiary costs beside its peers, and whether it loses anything under load.

Two programs: `python -m loadtests.bench` (the table) and `python -m loadtests.soak` (nothing lost, memory flat). Both
start everything they need on loopback, bound their own duration and stop what they started, however they end.

Owns: peers' configurations (`peers/`), load generators, figures and the table. Must not know: how the proxy works
inside; it is driven through its command line, its configuration and, to make a session, its session store.
To add a peer: `targets.py`. To add a request shape: `shapes.py`. To add a figure or a target: `figures.py`.
"""
