"""What is true of an OUTPUT: its plan, its record, who works on it, what is committed, retried and withdrawn."""
