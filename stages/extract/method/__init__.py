"""Break-A-Scene as the paper has it: what a step draws, sees and pays."""
