"""``python -m worker.demo.broker``: an embedded Kafka, librdkafka's mock cluster, as a process of its own.

It produces, fetches and balances groups, and needs nothing but Python; but it is no Apache Kafka: it keeps everything
in memory, creates each topic with four partitions when it is first asked about, and accepts transactional offset
commits without applying them.
"""

import ctypes
import signal
import sys

from confluent_kafka import Producer, cimpl

PARTITIONS_OF_EVERY_TOPIC = 4

ANNOUNCEMENT = "listening on "
"""What its only line of output starts with; the addresses follow."""

_ENDINGS = {signal.SIGINT, signal.SIGTERM}
_A_PRODUCER = 0


def main() -> int:
    """Says where it listens, and serves until SIGINT or SIGTERM."""
    # Blocked before librdkafka starts its threads, so that the signal stays for sigwait, and ends us quietly.
    signal.pthread_sigmask(signal.SIG_BLOCK, _ENDINGS)
    try:
        addresses = _start()
    except AttributeError:
        _cluster, addresses = _start_slower()
    print(ANNOUNCEMENT + addresses, flush=True)
    signal.sigwait(_ENDINGS)
    return 0


def _start() -> str:
    """Starts a cluster by librdkafka's own interface (rdkafka_mock.h), and returns its addresses.

    Only there can the first member of a group be told not to wait three seconds for company. Raises AttributeError
    where that interface cannot be reached through confluent-kafka.
    """
    library = ctypes.CDLL(cimpl.__file__)
    pointer, text = ctypes.c_void_p, ctypes.c_char_p
    library.rd_kafka_conf_new.restype = pointer
    library.rd_kafka_conf_set.argtypes = (pointer, text, text, text, ctypes.c_size_t)
    library.rd_kafka_new.restype = pointer
    library.rd_kafka_new.argtypes = (ctypes.c_int, pointer, text, ctypes.c_size_t)
    library.rd_kafka_mock_cluster_new.restype = pointer
    library.rd_kafka_mock_cluster_new.argtypes = (pointer, ctypes.c_int)
    library.rd_kafka_mock_cluster_bootstraps.restype = text
    library.rd_kafka_mock_cluster_bootstraps.argtypes = (pointer,)
    library.rd_kafka_mock_group_initial_rebalance_delay_ms.argtypes = (pointer, ctypes.c_int32)

    configuration = library.rd_kafka_conf_new()
    library.rd_kafka_conf_set(configuration, b"log_level", b"0", None, 0)
    client = library.rd_kafka_new(_A_PRODUCER, configuration, None, 0)
    cluster = library.rd_kafka_mock_cluster_new(client, 1)
    library.rd_kafka_mock_group_initial_rebalance_delay_ms(cluster, 0)
    addresses: bytes = library.rd_kafka_mock_cluster_bootstraps(cluster)
    return addresses.decode()


def _start_slower() -> tuple[Producer, str]:
    """Starts a cluster by confluent-kafka's interface; it runs for as long as this producer lives."""
    cluster = Producer({"test.mock.num.brokers": 1, "log_level": 0})
    brokers = cluster.list_topics(timeout=10).brokers.values()
    return cluster, ",".join(f"{broker.host}:{broker.port}" for broker in brokers)


if __name__ == "__main__":
    sys.exit(main())
