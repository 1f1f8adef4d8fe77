"""A small Segment Anything Model, trained on synthetic images, as a stand-in in tests."""
