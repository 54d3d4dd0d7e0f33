"""Masks that come with the pictures: files beside them, or a COCO annotation file."""
