"""The seedling: small base models trained from scratch by this project, and the scripts that made them."""
