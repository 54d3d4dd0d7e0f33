"""Geometry and views of masks."""
