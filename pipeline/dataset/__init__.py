"""Data sets that trainers take as they are, out of an OUTPUT: pictures with their masks, boxes and classes."""
