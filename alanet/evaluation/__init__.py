"""How good the result is: metrics, protocols, baselines, tables."""
