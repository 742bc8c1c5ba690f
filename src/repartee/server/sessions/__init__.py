"""One client's session with a model: the protocol above, the model below."""
