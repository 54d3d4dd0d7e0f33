"""`python -m pipeline`: the `unscene` command where it is not installed, as in a job on a cluster."""

from pipeline.cli import main

main()
