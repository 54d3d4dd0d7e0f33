"""New pictures of learned concepts: scenes mixed in one batch, each row with its own scene's handles and
factors.
"""
