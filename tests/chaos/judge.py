"""The judge, a program of its own: `python -m chaos.judge FOLDER`.

Reads round.json of the folder (where the topics and the upstream are, and the customers there were), then the topics
as a reader of committed records and the upstream's journal, and prints its verdict as JSON. Ends with 1 where a promise
was broken, and then leaves evidence.json in the folder: `python -m chaos.judge FOLDER --again` judges that, without
Kafka.
"""

import argparse
import json
import sys
import time
import urllib.request
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from confluent_kafka import Consumer, KafkaError, TopicPartition

from chaos.evidence import Evidence, Record
from chaos.verdict import judge

READ_SECONDS = 60.0


def main() -> int:
    """See the module."""
    parser = argparse.ArgumentParser(prog="python -m chaos.judge", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--again", action="store_true", help="judge evidence.json of an earlier judgement")
    options = parser.parse_args()
    kept = options.folder / "evidence.json"
    if options.again:
        evidence = Evidence.load(kept)
    else:
        evidence = gather(json.loads((options.folder / "round.json").read_text(encoding="utf-8")))
    verdict = judge(evidence)
    if verdict.breaches and not options.again:
        evidence.save(kept)
    print(json.dumps(asdict(verdict)))
    return int(bool(verdict.breaches))


def gather(where: Mapping[str, Any]) -> Evidence:
    """Reads everything to its end."""
    topics = where["topics"]
    request = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with request.open(f"{where['upstream']}/control", timeout=READ_SECONDS) as response:
        upstream = json.loads(response.read())
    return Evidence(
        commands_topic=topics["commands"],
        published=where["commands"],
        commands=_read(where["bootstrap_servers"], topics["commands"]),
        events=_read(where["bootstrap_servers"], topics["events"]),
        dead_letters=_read(where["bootstrap_servers"], topics["dead_letters"]),
        initial=where["customers"],
        upstream=upstream,
    )


def _read(bootstrap_servers: str, topic: str) -> list[Record]:
    """All committed records of *topic*. TimeoutError where its end is not reached: a transaction was left open."""
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap_servers,
            "group.id": "chaos-judge",
            "enable.auto.commit": False,
            "isolation.level": "read_committed",
            "auto.offset.reset": "earliest",
            "enable.partition.eof": True,
            "log_level": 0,
        }
    )
    try:
        partitions = consumer.list_topics(topic, timeout=READ_SECONDS).topics[topic].partitions
        ends = {number: consumer.get_watermark_offsets(TopicPartition(topic, number))[1] for number in partitions}
        left = {number for number, end in ends.items() if end > 0}
        consumer.assign([TopicPartition(topic, number, 0) for number in left])
        found = []
        deadline = time.monotonic() + READ_SECONDS
        while left:
            message = consumer.poll(0.5)
            if message is None:
                if time.monotonic() > deadline:
                    raise TimeoutError(f"{topic}: partitions {sorted(left)} are not readable to their end {ends}")
                continue
            error = message.error()
            if error is None:
                found.append(_record(message))
            elif error.code() == KafkaError._PARTITION_EOF:
                left.discard(message.partition())
        return found
    finally:
        consumer.close()


def _record(message: Any) -> Record:  # noqa: ANN401 -- the library's own types allow what a read record never has
    headers = tuple((name, value or b"") for name, value in message.headers() or ())
    return Record(message.partition(), message.offset(), message.key(), message.value(), headers)


if __name__ == "__main__":
    sys.exit(main())
