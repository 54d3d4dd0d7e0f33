"""Scripts that train the seedling: one command a model, CPU or CUDA, seeded and resumable."""
