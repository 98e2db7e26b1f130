"""`python -m gpoa`."""

import sys

from gpoa.cli.main import main

sys.exit(main())
