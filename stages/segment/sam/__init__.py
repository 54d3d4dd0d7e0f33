"""Proposals by Segment Anything, many prompts and pictures at a time."""
