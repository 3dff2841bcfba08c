"""How many requests this replica may still send in the upstream's present window.

The upstream counts a fixed window that begins with the user's first request, over all of the user's tokens and all
replicas, and says in every answer where it stands (`RateLimit-Limit`, `-Remaining`, `-Reset`). So the truth is in the
answers; between two answers the budget subtracts what it has granted and not yet seen answered. A refusal (429)
closes it until the time the upstream names.

Replicas do not talk to each other, but they know their shares, and these add up to one. The window is cut into
divisions. In each, a replica sends one turn to learn what remains, and may then spend its share of that. Whoever
looks later sees what others have spent and takes less, so together they never take more than the whole; what one does
not need is divided again in the next division. A new process, too, begins with one turn.

Bulk work is spread over the rest of the window, and leaves a reserve for live commands until the last seconds.

Pure: `now` is monotonic seconds.
"""

import math

# The upstream rounds the seconds until the window's end up, and its clock may run at another rate than ours.
ROUNDING_SECONDS = 2.0
DIVISIONS_PER_WINDOW = 20
SHORTEST_DIVISION_SECONDS = 0.5
# A division leaves so much to the next: some requests of others are still on their way.
LEFT_OVER = 0.05
# The most of the limit that is left to others for asking, at the end of the window.
MOST_FOR_OTHERS = 0.1
REQUESTS_PER_TURN = 2
# Replicas ask at the same time: each has its turn, and does not see yet that the one before has still to write.
REQUESTS_TO_ASK = REQUESTS_PER_TURN + 1
LIVE_RESERVE = 0.05
LAST_SECONDS = 5.0


class RateBudget:
    """The requests left in the window, by what the upstream says, what is under way, and this replica's share."""

    __slots__ = (
        "_allowance",
        "_answered_since",
        "_blocked_until",
        "_bulk_at",
        "_configured",
        "_division_ends_at",
        "_is_asking",
        "_known_since",
        "_limit",
        "_others_may_send",
        "_outstanding",
        "_remaining",
        "_remaining_when_told",
        "_replicas",
        "_reset_at",
        "_reset_not_before",
        "_share",
        "_slowest_seconds",
        "_window_seconds",
    )

    def __init__(self, *, limit: int, window_seconds: float) -> None:
        """*limit* requests in *window_seconds*; 0 = none, until the upstream names one."""
        self._configured: float = limit or math.inf
        self._limit: float = self._configured
        self._window_seconds = window_seconds
        self._remaining: float = self._limit
        # The window ends between the two; while no answer has told, it may end at any time.
        self._reset_at = -math.inf
        self._reset_not_before = -math.inf
        # Answers to requests that were sent before tell of an earlier window.
        self._known_since = -math.inf
        self._blocked_until = -math.inf
        self._outstanding = 0
        self._share = 1.0
        self._replicas = 1
        # None: unknown until an answer tells what remains.
        self._allowance: float | None = None if limit else math.inf
        self._division_ends_at = math.inf
        self._is_asking = False
        # When this replica was last told what remains: that, what it left to the others; its own answers since, and the
        # slowest of them.
        self._remaining_when_told: float = 0
        self._others_may_send: float = 0
        self._answered_since = 0
        self._slowest_seconds = 0.0
        self._bulk_at = -math.inf

    @property
    def limit(self) -> float:
        """Requests in one window; infinite where nobody limits."""
        return self._limit

    @property
    def share(self) -> float:
        """This replica's part of the budget, 0 to 1."""
        return self._share

    @property
    def window_seconds(self) -> float:
        """How long a window is."""
        return self._window_seconds

    @property
    def _division_seconds(self) -> float:
        return max(self._window_seconds / DIVISIONS_PER_WINDOW, SHORTEST_DIVISION_SECONDS)

    def resets_in(self, now: float) -> float:
        """Seconds until the window ends; a whole window's where none has begun."""
        return self._reset_at - now if now < self._reset_at else self._window_seconds

    def set_share(self, share: float, replicas: int) -> None:
        """From the next division on this replica may spend *share* of what remains; about *replicas* divide it."""
        self._share = share
        self._replicas = replicas
        if share >= 1 and self._allowance is not None:
            self._allowance = math.inf
            self._division_ends_at = math.inf
        elif self._division_ends_at == math.inf:
            self._division_ends_at = -math.inf

    def divide_again(self) -> None:
        """The group has changed: what remains is looked at anew before more than one turn is sent."""
        if self._limit != math.inf:
            self._allowance = None
            self._is_asking = False

    def left_in_window(self, now: float) -> float:
        """Requests left in the window for all replicas together, as far as this one knows."""
        if now < self._blocked_until:
            return 0
        if now >= self._reset_at != -math.inf:
            return self._limit
        return max(self._remaining - self._outstanding, 0)

    def is_refused(self, now: float) -> bool:
        """Whether a 429 named a time that has not come yet: then what was granted before it must not go out either."""
        return now < self._blocked_until

    def remaining(self, now: float) -> float:
        """Requests that this replica may send now."""
        if self.is_refused(now):
            return 0
        self._roll(now)
        left = max(self._remaining - self._outstanding, 0)
        if self._allowance is None:
            return 0 if self._is_asking else min(left, REQUESTS_PER_TURN)
        return max(min(left, self._allowance), 0)

    def remaining_for_bulk(self, now: float) -> float:
        """Requests that bulk work may send now: its pace, and the reserve for live commands, permitting."""
        remaining = self.remaining(now)
        seconds_left = self._reset_at - now
        if self._limit == math.inf or seconds_left <= LAST_SECONDS:
            return remaining
        if now < self._bulk_at:
            return 0
        return min(remaining, max(self._expected() - LIVE_RESERVE * self._limit * self._share, 0))

    def grant(self, requests: int, now: float, *, is_bulk: bool = False) -> bool:
        """Takes *requests* out of the budget, all or none; each must later be answered or given back."""
        if self.remaining(now) < requests:
            return False
        if self._reset_at == -math.inf and self._limit != math.inf:
            # The upstream's window begins when the request arrives, somewhat later: its answer corrects this.
            self._reset_at = now + self._window_seconds
        if is_bulk:
            self._pace_bulk(requests, now)
        self._outstanding += requests
        if self._allowance is None:
            self._is_asking = True
        else:
            self._allowance -= requests
        return True

    def retry_at(self, now: float) -> float:
        """The earliest moment at which a refused grant can succeed by time alone."""
        if now < self._blocked_until:
            return self._blocked_until
        end = min(self._reset_at if self._reset_at > now else math.inf, self._division_ends_at)
        return max(end, now) if end != math.inf else now

    def bulk_retry_at(self, now: float) -> float:
        """The same for bulk work."""
        if self.remaining(now) < REQUESTS_PER_TURN:
            return self.retry_at(now)
        return self._bulk_at if self._bulk_at > now else max(self._reset_at - LAST_SECONDS, now)

    def give_back(self, requests: int) -> None:
        """Returns granted requests that were never sent."""
        if not requests:
            return
        self._outstanding -= requests
        if self._allowance is not None:
            self._allowance += requests
        elif self._outstanding <= 0:
            self._is_asking = False

    def answered(self, now: float) -> None:
        """One granted request was sent and its answer said nothing of the budget (a timeout, a broken connection)."""
        self._outstanding -= 1
        self._roll(now)
        if self._reset_at == -math.inf and self._limit != math.inf:
            # Sent in a window that has ended since; the upstream may have counted it in the new one.
            self._reset_at = now + self._window_seconds
        self._remaining -= 1
        self._answered_since += 1
        if self._allowance is None:
            # Nobody tells what others spend: this replica's share of the whole, less what it has spent itself.
            self._allow(self._remaining - (1 - self._share) * self._limit)

    def observed(
        self, *, limit: int, remaining: int, reset_seconds: float, now: float, spent_seconds: float = 0.0
    ) -> None:
        """One granted request, sent *spent_seconds* ago, was answered with the upstream's own figures.

        Answers overtake one another, so they are told apart by the window's end that each allows for: it was true at
        some moment between sending and now.
        """
        self._outstanding -= 1
        sent_at = now - spent_seconds
        not_before, not_after = sent_at + reset_seconds - ROUNDING_SECONDS, now + reset_seconds
        if sent_at < self._known_since or not_after < self._reset_not_before:
            return
        self._answered_since += 1
        self._slowest_seconds = max(self._slowest_seconds, spent_seconds)
        # What is too little for a turn must not keep the next one from finding out that it has changed.
        self._limit = min(self._configured, max(limit, REQUESTS_PER_TURN))
        told = max(remaining - max(limit - self._limit, 0), 0)
        is_first = self._reset_not_before == -math.inf
        if is_first or not_before > self._reset_at:
            self._remaining = told
            self._reset_at, self._reset_not_before = not_after, not_before
        else:
            self._remaining = min(self._remaining, told)
            self._reset_at = min(self._reset_at, not_after)
            self._reset_not_before = max(self._reset_not_before, not_before)
        if self._allowance is None:
            left = self._remaining - self._pending_of_others()
            left_over = self._left_over(left)
            # In the window's last division others may yet have to ask: whoever has nearly all of the share leaves them
            # that, as long as it is little.
            for_others = min(REQUESTS_TO_ASK * (self._replicas - 1), MOST_FOR_OTHERS * self._limit)
            self._allow(min((left - left_over) * self._share, left - for_others))
            self._remaining_when_told = self._remaining
            self._others_may_send = (1 - self._share) * (left - left_over)
            self._answered_since = 0
            self._slowest_seconds = spent_seconds
            self._begin_division(now)

    def refused(self, retry_after_seconds: float, now: float) -> None:
        """One granted request met a 429: nothing more goes out until the time it named, when the next window begins."""
        self._outstanding -= 1
        self._remaining = 0
        self._blocked_until = self._reset_at = max(self._blocked_until, now + retry_after_seconds)

    def _allow(self, requests: float) -> None:
        """The question is answered: *requests*, those under way included, may be spent."""
        self._is_asking = False
        if self._share >= 1 or self._limit == math.inf:
            self._allowance = math.inf
        else:
            self._allowance = max(math.floor(requests) - self._outstanding, 0)

    def _pending_of_others(self) -> float:
        """What others were granted in the last division and the upstream has not counted yet, as far as can be guessed.

        At most what was left to them and has not been seen since. All of that where a turn takes a whole division, as
        on a busy machine; little of it where a turn takes but a moment.
        """
        seen = max(self._remaining_when_told - self._remaining - self._answered_since, 0)
        under_way = min(REQUESTS_PER_TURN * self._slowest_seconds / self._division_seconds, 1)
        return min(max(self._others_may_send - seen, 0) * under_way, self._remaining)

    def _left_over(self, remaining: float) -> float:
        """What this division leaves: enough for every replica to ask again; nothing, where that were most of it."""
        left_over = max(LEFT_OVER * remaining, REQUESTS_TO_ASK * self._replicas)
        return left_over if remaining >= 2 * left_over else 0

    def _begin_division(self, now: float) -> None:
        if self._share >= 1 or self._limit == math.inf:
            self._division_ends_at = math.inf
            return
        if not self._left_over(self._remaining):
            # Too little is left for everybody to ask again: this division is the window's last.
            self._division_ends_at = self._reset_at
            return
        length = self._division_seconds
        whole_divisions_left = max(math.ceil((self._reset_at - now) / length) - 1, 0)
        self._division_ends_at = self._reset_at - whole_divisions_left * length

    def _pace_bulk(self, requests: int, now: float) -> None:
        seconds_left = self._reset_at - now
        expected = self._expected()
        if self._limit != math.inf and seconds_left > LAST_SECONDS and expected > 0:
            self._bulk_at = max(self._bulk_at, now) + seconds_left * requests / expected

    def _expected(self) -> float:
        """What this replica will have of the rest of the window, as far as it knows before it has asked."""
        left = max(self._remaining - self._outstanding, 0)
        return left * self._share if self._allowance is None else max(min(left, self._allowance), 0)

    def _roll(self, now: float) -> None:
        if now >= self._reset_at and self._reset_at != -math.inf:
            self._remaining = self._limit
            self._reset_at = self._reset_not_before = -math.inf
            self._known_since = now
            self._others_may_send = 0
            self._bulk_at = -math.inf
            self.divide_again()
        elif now >= self._division_ends_at:
            self._division_ends_at = math.inf
            self.divide_again()

    def __repr__(self) -> str:
        return f"<RateBudget {self._remaining - self._outstanding:g} of {self._limit:g}, share {self._share:.2f}>"
