"""Between a model's dataclass and its row: columns bear the names of fields."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


def columns_of(table: sa.Table, model: type[DataclassInstance]) -> list[sa.Column[Any]]:
    """The table's columns for the fields of a model, in the order of its fields."""
    return [table.c[field.name] for field in fields(model)]


def values_of(instance: DataclassInstance, *, without: tuple[str, ...] = ()) -> dict[str, Any]:
    """A model's fields as values for an INSERT or UPDATE."""
    return {field.name: getattr(instance, field.name) for field in fields(instance) if field.name not in without}
