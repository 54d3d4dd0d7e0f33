"""Readers of facts: which toys a picture shows, by a trained network and by the drawings themselves."""
