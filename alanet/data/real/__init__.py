"""High-frame-rate video as a dataset."""
