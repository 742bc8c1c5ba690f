"""The version, written here once: the package, its metadata and the server's greeting read it."""

__version__ = "0.1.0"
