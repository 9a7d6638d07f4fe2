"""`python -m chaos.testcluster.process`: the process of one test cluster."""

from __future__ import annotations

import sys

from chaos.startup import importing

with importing():
    from chaos.testcluster.process.server import main

sys.exit(main())
