"""Trained models: the model folder, loading, sampling, the model card."""
