"""The world that the seedling knows: toys on places, drawn by the project itself, and what is said of them."""
