"""alanet: a poor video in, a sharp one at twice the frame rate out."""

__version__ = "0.1.0"
