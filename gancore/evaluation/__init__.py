"""The evaluation of a model: the request (``runner.py``), its results (``result.py``), and the report."""
