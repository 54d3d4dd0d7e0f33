"""The page of an OUTPUT, told from storage alone."""
