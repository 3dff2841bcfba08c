"""What can go wrong between the worker and Kafka, grouped by what the worker must do."""


class KafkaFault(Exception):
    """Something Kafka did or refused; the message says what, where and what to do."""


class KafkaUnreachable(KafkaFault):
    """No broker answered in time. The process ends: whoever runs it starts it again."""

    def __init__(self, bootstrap_servers: str, detail: str) -> None:
        super().__init__(
            f"Kafka is not reachable at {bootstrap_servers} ({detail}); "
            "see KAFKA_BOOTSTRAP_SERVERS and KAFKA_SECURITY_PROTOCOL, and whether the brokers are up"
        )
        self.bootstrap_servers = bootstrap_servers


class CommitFailed(KafkaFault):
    """A commit failed for a passing reason and left nothing behind: the same commit is repeated whole."""


class CommitUncertain(KafkaFault):
    """Nobody knows whether the commit took place: ask Kafka before repeating it."""


class PartitionLost(KafkaFault):
    """The group, or a newer transactional producer, has taken the partition away."""


class OutcomeTooLarge(KafkaFault):
    """Kafka refuses an outcome of this commit for its size; the commit left nothing behind."""


class KafkaRefused(KafkaFault):
    """A fault of the deployment: a missing permission, a missing topic, a broker without transactions. Fatal."""


class TopicMissing(KafkaRefused):
    """A topic that does not exist, or that this user may not see."""


class WriterFenced(KafkaFault):
    """A writer of the same name has begun after this one: nothing more of this one is taken."""
