"""``python -m worker.demo.broker``: an embedded Kafka, librdkafka's mock cluster, as a process of its own.

It produces, fetches and balances groups, and needs nothing but Python; but it is no Apache Kafka: it keeps everything
in memory, creates each topic with four partitions when it is first asked about, and accepts transactional offset
commits without applying them.
"""

import signal
import sys

from confluent_kafka import Producer

PARTITIONS_OF_EVERY_TOPIC = 4

ANNOUNCEMENT = "listening on "
"""What its only line of output starts with; the addresses follow."""

_ENDINGS = {signal.SIGINT, signal.SIGTERM}


def main() -> int:
    """Says where it listens, and serves until SIGINT or SIGTERM."""
    # Blocked before librdkafka starts its threads, so that the signal stays for sigwait, and ends us quietly.
    signal.pthread_sigmask(signal.SIG_BLOCK, _ENDINGS)
    cluster = Producer({"test.mock.num.brokers": 1, "log_level": 0})
    brokers = cluster.list_topics(timeout=10).brokers.values()
    print(ANNOUNCEMENT + ",".join(f"{broker.host}:{broker.port}" for broker in brokers), flush=True)
    signal.sigwait(_ENDINGS)
    return 0


if __name__ == "__main__":
    sys.exit(main())
