"""What an evaluation counts: measures, intervals over scenes, and verdicts on claims."""
