"""How the members of the group find each other: each announces where it answers HTTP, and Kafka passes it on.

What a member says when it joins (the user data of its subscription) is kept by the group's coordinator and told to
whoever describes the group. So there is no store, no DNS and no setting. The sticky assignor already uses the user
data for what a member had before; the announcement stands behind it, where members that know nothing of it, Java's
included, do not look.
"""

import asyncio
import ipaddress
import socket
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from io import BytesIO
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.coordinator.assignors.sticky.sticky_assignor import StickyAssignorUserDataV1, StickyPartitionAssignor
from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment, ConsumerProtocolMemberMetadata
from aiokafka.errors import IncompatibleBrokerVersion, KafkaError
from aiokafka.protocol.types import Schema, String

from worker.kafka.errors import CommitFailed

_MARK = "customer-sync/http"
_ANNOUNCEMENT = Schema(("mark", String("utf-8")), ("address", String("utf-8")))
_NOTHING_BEFORE = StickyAssignorUserDataV1([], StickyPartitionAssignor.DEFAULT_GENERATION_ID).encode()
# What aiokafka raises for bytes that are something else.
_UNREADABLE = (ValueError, TypeError, AttributeError)


@dataclass(frozen=True, slots=True)
class Member:
    """One member of the group: *address* is "ip:port" where it answers HTTP, None where it did not say."""

    member_id: str
    address: str | None
    partitions: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Group:
    """The group as its coordinator knows it; while it rebalances, nobody's address and partitions are told."""

    state: str
    members: tuple[Member, ...]

    @property
    def is_stable(self) -> bool:
        """Whether every partition has its owner."""
        return self.state == "Stable"

    def known_by(self, addresses: Mapping[str, str]) -> "Group":
        """The same with the addresses of members that are known by their ids."""
        members = (replace(member, address=addresses.get(member.member_id)) for member in self.members)
        return replace(self, members=tuple(members))


def announcing(address: Callable[[], str | None]) -> type[StickyPartitionAssignor]:
    """The sticky assignor, whose members also say where they answer HTTP; *address* is asked at each join."""

    class AnnouncingAssignor(StickyPartitionAssignor):  # type: ignore[misc]  # aiokafka is untyped
        """aiokafka keeps what an assignor remembers on its class: one for each consumer, that begins with nothing."""

        member_assignment = None
        generation = StickyPartitionAssignor.DEFAULT_GENERATION_ID

        @classmethod
        def metadata(cls, topics: Iterable[str]) -> ConsumerProtocolMemberMetadata:
            """What this member tells the group when it joins."""
            told = super().metadata(topics)
            where = address()
            if where is None:
                return told
            announcement: bytes = _ANNOUNCEMENT.encode([_MARK, where])
            return ConsumerProtocolMemberMetadata(
                told.version, told.subscription, (told.user_data or _NOTHING_BEFORE) + announcement
            )

    return AnnouncingAssignor


def announced(user_data: bytes | None) -> str | None:
    """The address in what a member told the group; None where there is none, or none that may be asked.

    Whoever may join the group can announce whatever they like, so only the address of a host is taken: no name, and
    nothing link-local, where clouds keep their machines' credentials.
    """
    if not user_data:
        return None
    rest = BytesIO(user_data)
    try:
        StickyAssignorUserDataV1.decode(rest)
        mark, address = _ANNOUNCEMENT.decode(rest)
        if mark != _MARK:
            return None
        host, _, port = address.rpartition(":")
        ip = ipaddress.ip_address(host.strip("[]"))
        usable = 0 < int(port) < 65_536 and not (ip.is_link_local or ip.is_multicast or ip.is_unspecified)
    except _UNREADABLE:
        return None
    return str(address) if usable else None


class GroupReader:
    """Asks the group's coordinator who the members are."""

    def __init__(self, admin: AIOKafkaAdminClient, group_id: str, topic: str) -> None:
        self._admin = admin
        self._group_id = group_id
        self._topic = topic

    async def group(self) -> Group | None:
        """The group; None where the broker cannot tell. Raises CommitFailed where Kafka does not answer."""
        try:
            (answer,) = await self._admin.describe_consumer_groups([self._group_id])
        except IncompatibleBrokerVersion:
            return None
        except KafkaError as error:
            msg = f"the group could not be read ({type(error).__name__}: {error})"
            raise CommitFailed(msg) from error
        (described,) = answer.to_object()["groups"]
        if described["error_code"]:
            return None
        return Group(described["state"], tuple(self._member(member) for member in described["members"]))

    def _member(self, member: dict[str, Any]) -> Member:
        metadata, assignment = member["member_metadata"], member["member_assignment"]
        user_data = ConsumerProtocolMemberMetadata.decode(metadata).user_data if metadata else None
        held = ConsumerProtocolMemberAssignment.decode(assignment).assignment if assignment else ()
        return Member(
            member_id=member["member_id"],
            address=announced(user_data),
            partitions=tuple(sorted(number for topic, numbers in held if topic == self._topic for number in numbers)),
        )


async def own_address(listener: socket.socket, bootstrap_servers: str) -> str | None:
    """Where peers reach what listens on *listener*, as "ip:port"; None where that cannot be found out.

    Where it listens on all addresses, that is the one from which this host reaches Kafka: peers reach Kafka too.
    """
    host, port = listener.getsockname()[:2]
    if ipaddress.ip_address(host).is_unspecified:
        host = await _address_towards(bootstrap_servers, listener.family)
        if host is None:
            return None
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


async def _address_towards(bootstrap_servers: str, family: socket.AddressFamily) -> str | None:
    """This host's address on the way to the first broker. Connecting a datagram socket sends nothing."""
    broker, _, port = bootstrap_servers.partition(",")[0].rpartition(":")
    try:
        found = await asyncio.get_running_loop().getaddrinfo(
            broker.strip("[]"), int(port), family=family, type=socket.SOCK_DGRAM
        )
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect(found[0][4])
            return str(probe.getsockname()[0])
    except OSError:
        return None
