"""gancore: adversarial generative models in any domain, beside likelihood models, in one loop."""

__version__ = "0.1.0"
