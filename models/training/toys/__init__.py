"""The world of toys: silhouettes, colours and patterns that the project draws itself, on the places of the world."""
