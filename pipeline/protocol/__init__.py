"""`unscene evaluate`: the same scenes through several methods, and what the difference comes to (docs/protocol.md)."""
