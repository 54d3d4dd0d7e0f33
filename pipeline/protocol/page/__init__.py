"""What an evaluation shows: table, plot, samples and the page around them."""
