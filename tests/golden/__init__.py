"""The published algorithm written a second time, as plainly as possible, and a stored run of ours: what the engine is
held against. Nothing in `plain_formulas` and `plain_model` imports the engine.
"""
