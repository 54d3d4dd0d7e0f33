"""Ingest: from the files of a source to square pictures, and their masks, of the base model's own size."""
