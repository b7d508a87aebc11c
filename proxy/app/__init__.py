"""The composition root: settings become objects, objects become processes. Only this room constructs.

    compose.py     settings → one `Plan` of everything a reload replaces
    providers.py   settings → the identity providers of a plan
    worker.py      one worker: builds, serves, reloads, drains
    listening.py   the listeners of one worker
    events.py      what our own pages report, as lines of the record
    process.py     a worker as a process: obeys the supervisor
    channel.py     the words between supervisor and workers
    child.py       a worker process as the supervisor sees it
    workforce.py   all worker processes: started, kept running, asked and ended together
    reload.py      a changed configuration, into force in all workers or in none
    supervisor.py  the parent: sockets, signals, admin address, start and shutdown
    errors.py      why the proxy does not start, or keeps what it has

Must not know how anything is done, only what fits together.
"""
