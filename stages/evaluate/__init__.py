"""What variations are worth: how well they follow the prompt, and whether the concepts are in them."""
