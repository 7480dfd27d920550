"""Frames in memory: pure functions, no files, no network."""
