"""The Realtime protocol, typed once, for both roles: events, codec, conversation, connection. Pure."""
