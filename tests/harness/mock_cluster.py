"""The process of the embedded mock: says where it listens, and serves until it is killed."""

import signal

from confluent_kafka import Producer


def main() -> None:
    """Serves until it is killed."""
    cluster = Producer({"test.mock.num.brokers": 1, "log_level": 0})
    brokers = cluster.list_topics(timeout=10).brokers.values()
    print("listening on", ",".join(f"{broker.host}:{broker.port}" for broker in brokers), flush=True)
    signal.pause()


if __name__ == "__main__":
    main()
