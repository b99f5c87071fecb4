"""The audio domain."""
