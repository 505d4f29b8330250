"""Which scope a call needs (CRM_FACTS section 1 j); any one of the named is enough."""

__all__ = ["needed"]

_SCHEMAS = {"companies", "contacts", "deals"}
_WRITES = {"create", "update", "archive", "batchCreate", "batchUpdate", "batchUpsert"}


def needed(operation: str, types: tuple[str, ...]) -> list[tuple[str, ...]]:
    """Each entry is a tuple of alternatives.

    Args:
        types: Object types named in the path, both of an association.
    """
    area, _, name = operation.partition("_")
    if area == "account":
        return []
    if area == "owners":
        return [("crm.objects.owners.read",)]
    if area == "properties":
        is_write = name.startswith("create")
        return [_schema(one, is_write=is_write) for one in types]
    if area == "pipelines":
        return [_schema(one, is_write=True) if name.startswith("create") else _object(one, "read") for one in types]
    if area == "associations":
        verb = "write" if name.startswith(("put", "delete", "batchDefault")) else "read"
        return [_object(one, verb) for one in types]
    return [_object(area, "write" if name in _WRITES else "read")]


def _schema(kind: str, *, is_write: bool) -> tuple[str, ...]:
    if kind not in _SCHEMAS:
        return _object(kind, "write" if is_write else "read")
    if is_write:
        return (f"crm.schemas.{kind}.write",)
    return (f"crm.schemas.{kind}.read", f"crm.objects.{kind}.read")


def _object(kind: str, verb: str) -> tuple[str, ...]:
    if kind == "tickets":
        return ("tickets", f"crm.objects.tickets.{verb}")
    if kind == "emails":
        return ("sales-email-read", "crm.objects.emails.read") if verb == "read" else ("crm.objects.contacts.write",)
    if kind == "notes":
        return (f"crm.objects.contacts.{verb}",)
    return (f"crm.objects.{kind}.{verb}",)
