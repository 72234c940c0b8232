"""Grants end with what they are on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from milvus_coord.coordinators.rootcoord.access.catalog import AccessCatalog
from milvus_coord.coordinators.rootcoord.access.rules_privileges import COLLECTION
from milvus_coord.coordinators.rootcoord.access.state_records import Grantee, PolicyOp
from milvus_coord.coordinators.rootcoord.metadata.store import Store
from milvus_coord.coordinators.rootcoord.proxies.work import Proxies
from milvus_coord.model.errors import CoordError
from milvus_coord.role.metadata.transactions import Transactions, in_transactions


class ObjectGrants:
    """Revokes the privileges on collections, aliases and databases in the write that drops them.

    Go 2.2.16 keeps them, so that whatever is made anew under the name has them at once.
    """

    def __init__(self, store: Store, catalog: AccessCatalog, proxies: Proxies) -> None:
        self._store, self._catalog, self._proxies = store, catalog, proxies

    @contextmanager
    def ending_on(
        self, db_name: str, names: Iterable[str], dropping: Transactions
    ) -> Iterator[Transactions]:
        """`dropping`, by which these collections or aliases go, with their grants.

        The block writes it. The proxies are told afterwards.
        """
        gone = frozenset(names)

        def on(grantee: Grantee) -> bool:
            named = grantee.db_name == db_name and grantee.object_name in gone
            return named and grantee.object_type == COLLECTION

        with self._ending(on, dropping) as transactions:
            yield transactions

    @contextmanager
    def ending_in(self, db_name: str, dropping: Transactions) -> Iterator[Transactions]:
        """The same of a database and all in it."""
        with self._ending(lambda grantee: grantee.db_name == db_name, dropping) as transactions:
            yield transactions

    @contextmanager
    def _ending(
        self, on: Callable[[Grantee], bool], dropping: Transactions
    ) -> Iterator[Transactions]:
        access = self._store.current.access
        ended = access.grants_on(on)
        revoked = self._catalog.revoke_all(
            (access.grantee_id(grant.grantee), grant.privilege) for grant in ended
        )
        try:
            yield in_transactions([*revoked, *dropping])
        except CoordError:
            if ended:  # it may have been applied after all: let the proxies read what there is
                self._proxies.refresh_policy_later(PolicyOp.EVERYTHING, "")
            raise
        for grant in ended:
            self._proxies.refresh_policy_later(PolicyOp.REVOKE, grant.policy)
