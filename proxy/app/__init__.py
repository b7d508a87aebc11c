"""The composition root: settings become objects, objects become processes. Only this room constructs.

    compose.py     settings → one `Plan` of everything a reload replaces
    worker.py      one worker: builds, serves, reloads, drains
    process.py     a worker as a process: talks to the supervisor
    supervisor.py  the parent: sockets, workers, admin address, reload, shutdown
    channel.py     the words between supervisor and workers

Must not know how anything is done, only what fits together.
"""
