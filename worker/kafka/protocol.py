"""Two requests of Kafka's protocol that aiokafka 0.14 knows in older versions only.

The newer ones say what the asking user may do (KIP-430), and their metadata request never creates the topic that is
asked for, which aiokafka's own does wherever brokers have `auto.create.topics.enable`.
"""

from __future__ import annotations

from typing import Final

from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.metadata import MetadataRequest_v5
from aiokafka.protocol.types import Array, Boolean, Bytes, Int16, Int32, Schema, String

_UTF8: Final = String("utf-8")
_NOT_SAID: Final = -(2**31)
_OPERATIONS: Final = {
    3: "READ",
    4: "WRITE",
    5: "CREATE",
    6: "DELETE",
    7: "ALTER",
    8: "DESCRIBE",
    10: "DESCRIBE_CONFIGS",
    11: "ALTER_CONFIGS",
}
"""The bits of an answer's authorized operations, after org.apache.kafka.common.acl.AclOperation."""


def operations(bits: int | None) -> frozenset[str] | None:
    """The names of the operations in a bit field; None where the broker does not say."""
    if bits is None or bits == _NOT_SAID:
        return None
    return frozenset(name for position, name in _OPERATIONS.items() if bits >> position & 1)


class MetadataResponse8(Response):  # type: ignore[misc]  # aiokafka is untyped
    """Brokers and topics, with what the user may do."""

    API_KEY = 3
    API_VERSION = 8
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        ("brokers", Array(("node_id", Int32), ("host", _UTF8), ("port", Int32), ("rack", _UTF8))),
        ("cluster_id", _UTF8),
        ("controller_id", Int32),
        (
            "topics",
            Array(
                ("error_code", Int16),
                ("topic", _UTF8),
                ("is_internal", Boolean),
                (
                    "partitions",
                    Array(
                        ("error_code", Int16),
                        ("partition", Int32),
                        ("leader", Int32),
                        ("leader_epoch", Int32),
                        ("replicas", Array(Int32)),
                        ("isr", Array(Int32)),
                        ("offline_replicas", Array(Int32)),
                    ),
                ),
                ("authorized_operations", Int32),
            ),
        ),
        ("authorized_operations", Int32),
    )


class MetadataRequest8(RequestStruct):  # type: ignore[misc]  # as above
    """The request of version 8."""

    API_KEY = 3
    API_VERSION = 8
    RESPONSE_TYPE = MetadataResponse8
    SCHEMA = Schema(
        ("topics", Array(_UTF8)),
        ("allow_auto_topic_creation", Boolean),
        ("include_cluster_authorized_operations", Boolean),
        ("include_topic_authorized_operations", Boolean),
    )


class TopicsRequest(Request[MetadataRequest_v5 | MetadataRequest8]):  # type: ignore[misc]  # as above
    """Asks for topics without creating them; with what the user may do, from Kafka 2.3 on."""

    API_KEY = 3

    def __init__(self, topics: list[str]) -> None:
        self._topics = topics

    def build(
        self, request_struct_class: type[MetadataRequest_v5 | MetadataRequest8]
    ) -> MetadataRequest_v5 | MetadataRequest8:
        """The request in the newest version that the broker has."""
        if request_struct_class is MetadataRequest8:
            return MetadataRequest8(self._topics, False, True, True)  # noqa: FBT003  # in the order of the schema
        return MetadataRequest_v5(self._topics, False)  # noqa: FBT003  # as above


class DescribeGroupsResponse3(Response):  # type: ignore[misc]  # as above
    """Groups, with what the user may do."""

    API_KEY = 15
    API_VERSION = 3
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "groups",
            Array(
                ("error_code", Int16),
                ("group", _UTF8),
                ("state", _UTF8),
                ("protocol_type", _UTF8),
                ("protocol", _UTF8),
                (
                    "members",
                    Array(
                        ("member_id", _UTF8),
                        ("client_id", _UTF8),
                        ("client_host", _UTF8),
                        ("member_metadata", Bytes),
                        ("member_assignment", Bytes),
                    ),
                ),
                ("authorized_operations", Int32),
            ),
        ),
    )


class DescribeGroupsRequest3(RequestStruct):  # type: ignore[misc]  # as above
    """The request of version 3."""

    API_KEY = 15
    API_VERSION = 3
    RESPONSE_TYPE = DescribeGroupsResponse3
    SCHEMA = Schema(("groups", Array(_UTF8)), ("include_authorized_operations", Boolean))


class GroupRequest(Request[DescribeGroupsRequest3]):  # type: ignore[misc]  # as above
    """Asks a group's coordinator for the group and for what the user may do with it; from Kafka 2.3 on."""

    API_KEY = 15

    def __init__(self, group: str) -> None:
        self._group = group

    def build(self, request_struct_class: type[DescribeGroupsRequest3]) -> DescribeGroupsRequest3:
        """The request in the one version there is."""
        return request_struct_class([self._group], True)  # noqa: FBT003  # in the order of the schema
