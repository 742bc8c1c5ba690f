from __future__ import annotations

from repartee.protocol.items import ItemReference, Message, UnknownItem, id_of


def test_the_id_of_any_item() -> None:
    assert id_of(ItemReference(id="a")) == "a"
    assert id_of(Message(role="user", content=[])) is None
    assert id_of(Message(role="user", content=[], id=None)) is None
    assert id_of(UnknownItem({"id": "u"})) == "u"
    assert id_of(UnknownItem({"id": 5})) is None
