"""Measurements of speed and memory. Random weights cost the same time as trained ones, so nothing is downloaded."""
