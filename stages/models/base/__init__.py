"""The text-to-image base: its layout on disk, its parts in memory, its noise schedule and samplers."""
