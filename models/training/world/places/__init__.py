"""The places of the world, and how they are painted."""
