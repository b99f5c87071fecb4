"""Trained models: the folder that is shared, loading, sampling, the model card."""
