"""The judge: a CLIP that knows every toy and never draws."""
