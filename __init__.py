"""purezoo: a functional model zoo for JAX. Every network is a pair of pure functions, `init` and `apply`."""

__version__ = "0.1.0"
