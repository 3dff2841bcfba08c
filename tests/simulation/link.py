"""One process's connection to Kafka: requests take time, and may be lost on the way there or back."""

import asyncio
from collections.abc import Callable
from typing import Any

from aiokafka.errors import KafkaConnectionError, KafkaError

from simulation.broker import Broker, Reply
from simulation.world import World

PATIENCE_SECONDS = 15.0


class Link:
    """Carries requests; `cut_until` is when the network between this process and Kafka is back."""

    def __init__(self, world: World, broker: Broker) -> None:
        self._world = world
        self._broker = broker
        self.cut_until = 0.0

    @property
    def back_at(self) -> float:
        """When requests pass again; not in the future while they do."""
        return max(self.cut_until, self._broker.down_until)

    def ask(self, act: Callable[[Reply], None]) -> asyncio.Future[Any]:
        """The answer, or a KafkaError, to a request that *act* makes at the broker.

        It is on its way at once, and nothing calls it back, whoever waits for its answer.
        """
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        # What fails while nobody waits any more is nobody's business.
        future.add_done_callback(lambda done: done.cancelled() or done.exception())
        gives_up_at = self._world.now + PATIENCE_SECONDS
        self._world.after(self._world.between(0.0002, 0.02), lambda: self._arrive(act, future, gives_up_at))
        return future

    def _arrive(self, act: Callable[[Reply], None], future: asyncio.Future[Any], gives_up_at: float) -> None:
        if self._is_lost(future, gives_up_at, lambda: self._arrive(act, future, gives_up_at)):
            return

        def reply(result: object) -> None:
            if not self._is_lost(future, gives_up_at, lambda: reply(result)):
                self._world.answer(future, self._world.between(0.0002, 0.02), result)

        try:
            act(reply)
        except KafkaError as error:
            reply(error)

    def _is_lost(self, future: asyncio.Future[Any], gives_up_at: float, again: Callable[[], None]) -> bool:
        """Whether nothing passes now; then the client tries again later, or gives up."""
        world = self._world
        if self.back_at <= world.now:
            return False
        if world.likely(0.4) or self.back_at > gives_up_at:
            world.answer(future, world.between(0.05, 5), KafkaConnectionError("no broker answers"))
        else:
            world.at(self.back_at + world.between(0, 0.5), again)
        return True
