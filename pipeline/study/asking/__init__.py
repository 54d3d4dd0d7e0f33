"""The page on which people rate: one file that loads nothing."""
