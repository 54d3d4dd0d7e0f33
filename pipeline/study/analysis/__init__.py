"""What the raters' answers come to: who counts, preferences, agreement, the paper's tests, and the page of them."""
