"""Classes of every kind that a payload can be, for the converter's tests."""

import enum
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Generic, NamedTuple, NotRequired, TypedDict, TypeVar
from uuid import UUID

import attrs
import msgspec
import pydantic

T = TypeVar("T")


class Color(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


class Right(enum.IntFlag):
    READ = 1
    WRITE = 2


class Mixed(enum.Enum):
    NUMBER = 1
    TEXT = "x"


@dataclass
class Item:
    sku: str
    price: Decimal
    count: int = 1
    tags: set[str] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class Order:
    id: UUID
    items: list[Item]
    color: Color | None = None
    note: str | None = None


@dataclass
class Box(Generic[T]):
    content: T


class Point(NamedTuple):
    x: int
    y: float


class Address(TypedDict):
    street: str
    zip: NotRequired[int]


class Event(msgspec.Struct, tag=True, rename="camel"):
    happened_at: datetime
    level_of: Level = Level.LOW
    seen_by: set[int] = set()


class Pair(msgspec.Struct, array_like=True):
    left: str
    right: tuple[int, ...] = ()


@attrs.define
class Parcel:
    weight: float
    _seal: str = "none"


class Customer(pydantic.BaseModel):
    name: str
    born: date
    nick: str | None = pydantic.Field(default=None, alias="nickName")
    groups: set[str] = set()
    wakes: time = time(7)


class Everything(msgspec.Struct):
    when: datetime
    day: date
    clock: time
    span: timedelta
    money: Decimal
    key: UUID
    raw: bytes
    right: Right
    by_day: dict[date, int]
    by_number: dict[int, str]
