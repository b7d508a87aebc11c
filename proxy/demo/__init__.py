"""The demo: everything Ostiary needs around it, on one machine, for trying and for learning.

Owns the development certificates, the development identity provider (`idp/`), three sample apps (`apps/`), the program
that starts them all with the proxy (`run`), what it prints (`guide`) and the tour that drives it all by itself
(`tour`, with `visitor` as its browser). Must not know: how the proxy works inside. It starts the proxy as a program,
with a configuration, and meets it over the network only: what works here works for everybody.
To add a sample app: a module in `apps/` with its route in `config/routes/`. To add a stop of the tour: `tour.py`.
"""
