"""Low-rank factors of many scenes around the layers of one base."""
