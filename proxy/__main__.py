"""`python -m proxy` is `ostiary`."""

import sys

from proxy.cli import main

sys.exit(main())
