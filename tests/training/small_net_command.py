"""The command `msnoah` with SmallNet among its models, for runs in processes of their own."""

import sys

import small_net

from msnoah.cli import main

if __name__ == "__main__":
    assert small_net.small_net_for_training_tests   # its import registered it
    sys.exit(main())
