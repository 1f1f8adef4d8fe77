"""Synthetic images: several of one random anatomy, with the region of every pixel.

The network in the package learned from these alone, and fine-tuning mixes them in, so that it does
not forget.
"""
