"""Clips -> weights."""
