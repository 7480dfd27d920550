"""Restores videos: options, plan, run, resume, batches."""
