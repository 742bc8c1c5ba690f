"""What all objects of the protocol share: three-valued fields, unknown fields that survive, and open families.

*Theory of operation.* An object on the wire is a `msgspec` Struct. Three things that a Struct doesn't do by itself are
done here:

* **Not given, null and a value are different.** A field of type ``Maybe[T]`` is ``UNSET`` when its key is absent
  (and is then not written either), ``None`` when it is ``null``.
* **Unknown fields survive.** Servers add fields before clients know them. What a Struct has no field for is kept
  beside it (`extra`) at every depth, and written again.
* **Families are open.** An item, content part, tool, … of a type that is not known becomes its family's ``Unknown…``
  with the whole object in ``raw``. A family is a plain class that is no Struct, so that msgspec asks `from_raw` for it.

Objects are frozen: they may be shared between connections. `replace` makes a changed copy.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar, Generic, TypeVar, Union

import msgspec
from msgspec import UNSET, UnsetType

__all__ = [
    "UNSET",
    "Family",
    "Maybe",
    "Model",
    "Unknown",
    "UnsetType",
    "extra",
    "from_raw",
    "given",
    "replace",
    "to_json",
    "to_raw",
    "unknown_fields",
]

T = TypeVar("T")
M = TypeVar("M", bound="Model")

Maybe = Union[T, None, UnsetType]  # noqa: UP007 (an alias with a parameter, for msgspec to resolve)
"""A field that may be absent (``UNSET``), ``null`` (``None``), or a value."""


class Model(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """An object of the protocol. ``dict=True`` has room for the fields that it doesn't know."""


class Family:
    """The base of a family of objects that differ by their ``type`` (or another tag), and of which new ones appear.

    The members are registered by `member`; an object with another tag becomes ``unknown``.
    """

    __slots__ = ()

    tag_field: ClassVar[str] = "type"
    members: ClassVar[dict[str, type[Any]]]
    unknown: ClassVar[type[Unknown]]
    untagged: ClassVar[type[Any] | None] = None
    """What an object without a tag is; ``None``: unknown."""


class Unknown:
    """A member of a family that this version doesn't know. Written again exactly as it was read.

    Args:
        raw: the whole object, its tag included.
    """

    __slots__ = ("raw",)

    def __init__(self, raw: dict[str, Any]) -> None:
        self.raw = raw

    @property
    def type(self) -> str:
        """The value of its ``type``; ``""`` if it has none."""
        value = self.raw.get("type", "")
        return value if isinstance(value, str) else ""

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and isinstance(other, Unknown) and other.raw == self.raw

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.raw!r})"


F = TypeVar("F", bound=type[Any])


def member(family: type[Family], *tags: str) -> Callable[[F], F]:
    """Register a class in a family, under its own tag or under those given."""

    def register(cls: F) -> F:
        for tag in tags or (cls.__struct_config__.tag,):
            family.members[tag] = cls
        return cls

    return register


def given(value: T | UnsetType | None, default: T) -> T:
    """The value of a three-valued field, or a default where it is absent or null."""
    return default if value is None or isinstance(value, UnsetType) else value


# ------------------------------------------------------------------------------------------------ unknown fields

_NO_EXTRA: Mapping[str, Any] = types.MappingProxyType({})


def extra(model: Model) -> Mapping[str, Any]:
    """The fields of an object that its class doesn't know: name → value as JSON gave it."""
    kept: Mapping[str, Any] = getattr(model, "_extra", _NO_EXTRA)
    return kept


def with_extra(model: M, fields: Mapping[str, Any]) -> M:
    """A copy of an object that has these fields beside its own; they are written with them."""
    copy = msgspec.structs.replace(model)
    _set_extra(copy, {**extra(model), **fields})
    return copy


def replace(model: M, /, **changes: Any) -> M:
    """A copy of an object with some fields changed; unknown fields are kept."""
    copy = msgspec.structs.replace(model, **changes)
    if extra(model):
        _set_extra(copy, extra(model))
    return copy


def _set_extra(model: Model, fields: Mapping[str, Any]) -> None:
    model.__dict__["_extra"] = dict(fields)  # a frozen Struct takes no attribute; its __dict__ does


class _Shape(Generic[T]):
    """What keeping unknown fields needs to know of a class, found once."""

    __slots__ = ("deep", "known")

    def __init__(self, cls: type[Model]) -> None:
        hints = typing.get_type_hints(cls)
        self.deep = tuple(name for name in cls.__struct_fields__ if _may_hold_models(hints[name]))
        tag_field = cls.__struct_config__.tag_field
        self.known = frozenset(cls.__struct_encode_fields__) | ({tag_field} if tag_field else frozenset())


_SHAPES: dict[type[Model], _Shape[Any]] = {}
_FLAT = {str, int, float, bool, bytes, type(None), UnsetType, Any, object}


def _shape(cls: type[Model]) -> _Shape[Any]:
    shape = _SHAPES.get(cls)
    if shape is None:
        shape = _SHAPES[cls] = _Shape(cls)
    return shape


def _may_hold_models(hint: Any) -> bool:
    origin = typing.get_origin(hint)
    if origin is None:
        return hint not in _FLAT
    if origin is typing.Literal:
        return False
    return any(_may_hold_models(each) for each in typing.get_args(hint))


def _keep_unknown(model: Model, raw: Mapping[str, Any]) -> None:
    """Put beside an object, at every depth outside families, the fields of its JSON that its class doesn't know."""
    shape = _shape(type(model))
    left = raw.keys() - shape.known
    if left:
        _set_extra(model, {name: raw[name] for name in raw if name in left})
    for name in shape.deep:
        value = getattr(model, name)
        if value is not UNSET and value is not None:
            _keep_within(value, raw.get(name))


def _keep_within(value: Any, raw: Any) -> None:
    if isinstance(value, Family):
        return  # made by `_from_family`, which has kept them already
    if isinstance(value, Model):
        _keep_unknown(value, raw)
    elif isinstance(value, list):
        for each, each_raw in zip(value, raw, strict=True):
            _keep_within(each, each_raw)


def unknown_fields(model: Model, path: str = "") -> Iterator[str]:
    """The paths of all unknown fields in an object, at every depth: ``"session.foo"``."""
    for name in extra(model):
        yield f"{path}{name}"
    for name in _shape(type(model)).deep:
        value = getattr(model, name)
        if isinstance(value, Model):
            yield from unknown_fields(value, f"{path}{name}.")
        elif isinstance(value, list):
            for index, each in enumerate(value):
                if isinstance(each, Model):
                    yield from unknown_fields(each, f"{path}{name}[{index}].")


def _has_unknown_fields(model: Model) -> bool:
    if extra(model):
        return True
    for name in _shape(type(model)).deep:
        value = getattr(model, name)
        if isinstance(value, Model):
            if _has_unknown_fields(value):
                return True
        elif isinstance(value, list) and any(isinstance(m, Model) and _has_unknown_fields(m) for m in value):
            return True
    return False


# ------------------------------------------------------------------------------------------------- reading, writing


def from_raw(cls: type[T], raw: Any) -> T:
    """Make an object of a class, or of a family, from decoded JSON.

    Raises:
        ValueError: a field is missing or of a wrong type; ends in ``at `$.path``` (`msgspec.ValidationError`'s way).
    """
    if issubclass(cls, Family) and not issubclass(cls, Model):
        return typing.cast("T", _from_family(cls, raw))
    made = msgspec.convert(raw, cls, dec_hook=_from_family)
    if isinstance(made, Model):
        _keep_unknown(made, raw)
    return made


def _from_family(family: type[Any], raw: Any) -> Any:
    """What msgspec calls for a type that it doesn't know, which here is a family."""
    if not isinstance(raw, dict):
        raise ValueError(f"Expected `object`, got `{_json_name(raw)}`")
    tag = raw.get(family.tag_field)
    if tag is None:
        cls = family.untagged
        if cls is None:
            return family.unknown(raw)
    elif not isinstance(tag, str):
        raise ValueError(f"Expected `str`, got `{_json_name(tag)}` - at `$.{family.tag_field}`")
    else:
        cls = family.members.get(tag)
        if cls is None:
            return family.unknown(raw)
    try:
        made = msgspec.convert(raw, cls, dec_hook=_from_family)
    except msgspec.ValidationError as error:
        raise ValueError(str(error)) from None  # a ValidationError would leave here without the path above it
    _keep_unknown(made, raw)
    return made


def _json_name(value: Any) -> str:
    names = {dict: "object", list: "array", type(None): "null"}
    return names.get(type(value), type(value).__name__)


def _encode_unknown(value: Any) -> Any:
    if isinstance(value, Unknown):
        return value.raw
    raise TypeError(f"{type(value).__name__} is no object of the protocol")


_ENCODER = msgspec.json.Encoder(enc_hook=_encode_unknown)


def to_json(model: Model | Unknown) -> bytes:
    """Write an object as JSON, unknown fields included. Absent fields are not written.

    Raises:
        TypeError: a field holds something that JSON has no form for.
    """
    if isinstance(model, Model) and _has_unknown_fields(model):
        return _ENCODER.encode(to_raw(model))
    return _ENCODER.encode(model)


def to_raw(value: Any) -> Any:
    """An object as JSON's own values (dict, list, str, …), unknown fields included; bytes as base64."""
    if isinstance(value, Unknown):
        return value.raw
    if isinstance(value, list):
        return [to_raw(each) for each in value]
    if not isinstance(value, Model):
        return msgspec.to_builtins(value, enc_hook=_encode_unknown)
    config = value.__struct_config__
    raw: dict[str, Any] = {config.tag_field: config.tag} if config.tag_field else {}
    for name, key in zip(value.__struct_fields__, value.__struct_encode_fields__, strict=True):
        field = getattr(value, name)
        if field is not UNSET:
            raw[key] = to_raw(field)
    raw.update(extra(value))
    return raw
