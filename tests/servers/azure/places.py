"""Where a resource is: its id taken apart.

https://learn.microsoft.com/azure/azure-resource-manager/templates/template-functions-resource#resourceid
"""

from __future__ import annotations

_LEVEL = 2
"""A type and a name."""


def key(resource_id: str) -> str:
    """Ids are compared without case."""
    return resource_id.rstrip("/").lower()


def subscription_of(resource_id: str) -> str:
    return resource_id.split("/")[2]


def group_of(resource_id: str) -> str:
    """The id of its resource group; of a resource of the subscription, the subscription."""
    return resource_id.partition("/providers/")[0]


def type_of(resource_id: str) -> str:
    namespace, *pairs = resource_id.rpartition("/providers/")[2].split("/")
    return "/".join((namespace, *pairs[::_LEVEL]))


def name_of(resource_id: str) -> str:
    return resource_id.rpartition("/")[2]


def parent_of(resource_id: str) -> str:
    """What has to be there first: the resource it is part of or extends, or its group."""
    before, _, last = resource_id.rpartition("/providers/")
    if last.count("/") > _LEVEL:
        return resource_id.rsplit("/", _LEVEL)[0]
    return before
