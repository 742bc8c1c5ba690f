"""Models and services by provider. Nothing else in repartee imports a plugin; each one says which extra it needs."""
