"""The load for `bench/serve.py` and `bench/serve_churn.py`: what is served, the server watched, and its callers."""
