"""The work itself, one machine and one process, without Ray: ingest, segment, extract, generate, evaluate."""
