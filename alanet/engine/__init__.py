"""Runs a network over a stream of frames: padding, precision, tiles, memory, fallbacks."""
