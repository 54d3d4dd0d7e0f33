"""The files of the source: listed, read and hashed."""
