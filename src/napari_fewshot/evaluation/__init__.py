"""How good predictions are: metrics, baselines, benchmarks and reports."""
