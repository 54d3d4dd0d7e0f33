"""What tests share: small models, stages and outputs to work on."""

from pathlib import Path

ROOT = Path(__file__).parents[2]
"""The checkout."""
