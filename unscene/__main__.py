"""`python -m unscene`: the `unscene` command where its script is on no PATH."""

from pipeline.cli import main

main()
