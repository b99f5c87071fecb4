"""The evaluation of a model, from a request (``runner.py``) to its results (``result.py``) and report."""
