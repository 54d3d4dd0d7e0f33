"""Segment: from a prepared picture to the 1-4 concepts that a person would name in it."""
