"""The pretrained models that a spec names: where they are, and how they are loaded."""
