"""What servers must know before the first review: search attributes in Temporal, the schema in Postgres. Idempotent."""

from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest, ListSearchAttributesRequest
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from countersign.errors import InvalidRequest, ServiceUnavailable
from countersign.settings import Settings
from workers.endpoints import Endpoints, connect_temporal
from workflows import search_attributes

TYPES = {
    key.name: IndexedValueType.ValueType(key.indexed_value_type) for key in search_attributes.ALL
}  # the SDK's enum and the API's carry the same numbers


async def prepare(settings: Settings, endpoints: Endpoints) -> None:
    """Bring both servers to what this version needs. Safe to repeat, and from several processes at once.

    Raises `ServiceUnavailable` when one does not answer, and what `register_search_attributes` raises.
    """
    from countersign.store.database import Database

    database = await Database.open(endpoints.database_url)
    try:
        await database.migrate()
    finally:
        await database.close()
    await register_search_attributes(await connect_temporal(settings, endpoints))


async def missing_search_attributes(client: Client) -> tuple[str, ...]:
    """Names of the registry that the client's namespace does not have yet, in the registry's order.

    Raises `InvalidRequest` when the namespace has one of them with another type, `ServiceUnavailable` when it may not
    be asked.
    """
    try:
        found = await client.operator_service.list_search_attributes(
            ListSearchAttributesRequest(namespace=client.namespace)
        )
    except RPCError as error:
        if error.status is RPCStatusCode.UNIMPLEMENTED:
            return tuple(TYPES)  # the time-skipping test server can add but not list
        raise _refused(client, error) from error
    for name, wanted in TYPES.items():
        if found.custom_attributes.get(name, wanted) != wanted:
            raise InvalidRequest(
                f"Search attribute {name} of namespace {client.namespace} is "
                f"{IndexedValueType.Name(found.custom_attributes[name])}, not {IndexedValueType.Name(wanted)}",
                remedy="Remove it there (`temporal operator search-attribute remove`) or use another namespace",
            )
    return tuple(name for name in TYPES if name not in found.custom_attributes)


async def register_search_attributes(client: Client) -> tuple[str, ...]:
    """Add what the client's namespace lacks, on an embedded or an external server; the names added, often none.

    Raises as `missing_search_attributes`.
    """
    missing = await missing_search_attributes(client)
    if missing:
        try:
            await client.operator_service.add_search_attributes(
                AddSearchAttributesRequest(
                    namespace=client.namespace, search_attributes={name: TYPES[name] for name in missing}
                )
            )
        except RPCError as error:
            # Another process may have been quicker; only what is still missing is an error.
            if error.status is not RPCStatusCode.ALREADY_EXISTS or await missing_search_attributes(client):
                raise _refused(client, error) from error
    return missing


def _refused(client: Client, error: RPCError) -> ServiceUnavailable:
    return ServiceUnavailable(
        f"Namespace {client.namespace} does not let its search attributes be managed ({error.status.name})",
        remedy="Ask its administrator to add: " + ", ".join(_described(name) for name in TYPES),
    )


def _described(name: str) -> str:
    return f"{name} ({IndexedValueType.Name(TYPES[name]).removeprefix('INDEXED_VALUE_TYPE_').title()})"
