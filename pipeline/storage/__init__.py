"""Bytes: one folder on any filesystem, and the three writes that a commit needs."""
