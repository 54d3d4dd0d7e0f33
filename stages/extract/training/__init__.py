"""The loop around a step: a batch of scenes, its optimizer, its size and its checkpoints."""
