"""The core's measures, on any samples or features: one file a family."""
