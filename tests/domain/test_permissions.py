"""Who may do what."""

from __future__ import annotations

from itertools import product
from uuid import UUID

import pytest

from server.core.actor import ANONYMOUS, SYSTEM, Actor, Role
from server.core.errors import FORBIDDEN, UNAUTHENTICATED, DomainError
from server.core.permissions import GRANTS, Permission, Relation, require

EVERY_CASE = list(product(Permission, Relation, Role))


@pytest.mark.parametrize(("permission", "relation"), list(product(Permission, Relation)))
def test_nobody_may_do_anything_before_signing_in(permission: Permission, relation: Relation) -> None:
    for nobody in (ANONYMOUS, SYSTEM, Actor(UUID(int=1))):
        with pytest.raises(DomainError) as refused:
            require(nobody, permission, relation)
        assert refused.value.case is UNAUTHENTICATED


@pytest.mark.parametrize(("permission", "relation", "role"), EVERY_CASE)
def test_the_table_alone_decides(permission: Permission, relation: Relation, role: Role) -> None:
    granted = GRANTS[permission]
    may = role in granted.get(relation, ()) or role in granted.get(Relation.ANY, ())
    me = Actor(UUID(int=1), role)
    if may:
        require(me, permission, relation)
        return
    with pytest.raises(DomainError) as refused:
        require(me, permission, relation)
    assert refused.value.case is FORBIDDEN
