"""What must be true beyond the kind of each value: contradictions, names that exist, forms, things that cannot work.

`configuration` looks at `ostiary.yaml`, `routes` at one route, `rules` at one rule, `across` at everything together
(and has `baselines` and `device_sources` look at theirs).
Each check is a generator of `Finding`s, whose paths are relative to what it was given; it never stops at the first.
Pure but for the time zone database.

To add a check: one generator, called from the `check_…` function of its file.
"""
