"""`python -m bramley` is the `bramley` command."""

import sys

from bramley.cli import main

sys.exit(main())
