"""`python -m msnoah` is the same as `msnoah`."""

import sys

from msnoah.cli import main

sys.exit(main())
