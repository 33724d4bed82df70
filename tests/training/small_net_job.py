"""`msnoah train` that knows SmallNet; what a worker of a test runs."""

import sys

import small_net  # noqa: F401   registers the model

from msnoah.cli import main

sys.exit(main(["train", *sys.argv[1:]]))
