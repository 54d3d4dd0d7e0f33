"""Break-A-Scene extraction (arXiv 2305.16311): many scenes side by side, each to its own handles and LoRA
factors.
"""
