"""The mask model: what it is asked, how it is trained, how good its answers are."""
