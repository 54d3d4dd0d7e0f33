"""What a scene owns, bound to the frozen base that all scenes share."""
