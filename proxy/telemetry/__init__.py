"""What the proxy says about itself: metrics and logs.

Owns the catalogue of metrics (`catalogue`), the cells the hot path counts in (`metrics`), Prometheus' text form of
them (`exposition`), what a process costs (`process`) and the log lines on stderr with secrets taken out (`log`,
`redaction`). Must not know: requests, sessions, policy; it is given names and numbers.
To add a metric: one row in `catalogue.FAMILIES`. To add a kind of secret to hide: one row in `redaction`.
"""
