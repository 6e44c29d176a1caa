"""What a reader says about the open region; then the next one opens."""

from __future__ import annotations

from itertools import takewhile
from typing import TYPE_CHECKING

from napari_deferredseg.core.records import Verdict
from napari_deferredseg.widgets.seat.events import attempt

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_deferredseg.core.records import WorkItem
    from napari_deferredseg.usecases.reading.session import Session
    from napari_deferredseg.widgets.seat.claims import Claims
    from napari_deferredseg.widgets.seat.events import SeatEvents
    from napari_deferredseg.widgets.seat.navigation import Navigation
    from napari_deferredseg.widgets.seat.picture import Picture

REOPEN = "U opens it again."
DECLINED = "declined: the lead will find somebody else."
DRAFT_STAYS = " What you painted stays on this computer as a draft."
AMENDING = "This is what you submitted, open again. It stands until you submit anew."
RECOVERED = "Your earlier work on this region is back. What you submitted stands until you submit anew."


class Answers:
    """Closes the open region with an answer."""

    def __init__(
        self, session: Session, events: SeatEvents, picture: Picture, claims: Claims, navigation: Navigation
    ) -> None:
        self._session, self._events, self._picture = session, events, picture
        self._claims, self._navigation = claims, navigation

    def accept(self) -> None:
        """The AI is right."""
        self._finish_with(lambda: self._keep(Verdict.ACCEPTED), f"accepted. {REOPEN}")

    def submit(self) -> None:
        """Keep what was painted."""
        self._finish_with(lambda: self._keep(Verdict.EDITED), f"submitted. {REOPEN}")

    def give_verdict(self, verdict: Verdict) -> None:
        """Say that the region cannot be decided, or is pointless."""
        said = {Verdict.INDETERMINATE: "cannot be decided on this image", Verdict.POINTLESS: "is pointless"}[verdict]
        self._finish_with(lambda: self._keep(verdict), f"{said}: submitted. {REOPEN}")

    def skip(self) -> None:
        """Put the open region off."""
        self._finish_with(self._session.skip, "skipped: it waits at the end of your worklist.")

    def decline(self, reason: str) -> None:
        """Refuse the open region."""
        self._finish_with(lambda: DRAFT_STAYS if self._session.decline(reason) else "", DECLINED)

    def amend(self) -> None:
        """Open the region submitted last again, its case first where another one is open."""
        last, case = self._session.last, self._session.case
        if last is None or (case is not None and case.record.key == last.case.key):
            self._amend()
        else:
            self._navigation.open_case(last.case.key, then=self._amend)

    def _keep(self, verdict: Verdict) -> None:
        """Submit what the reader sees. InputError when a layer showed something else than what would be kept."""
        self._picture.check()
        self._session.submit(verdict)

    def _finish_with(self, action: Callable[[], str | None], said: str) -> None:
        """Do what closes the open region, say so and what more it returns, and open the next."""
        if self._claims.is_asking():
            return
        if (reading := self._session.reading) is None:
            self._events.problem.emit("Open a region of your worklist first.")
            return
        number, here = reading.item.region.number, reading.item.region.id
        before = self._session.waiting()
        place = next((i for i, item in enumerate(before) if item.region.id == here), len(before))
        with self._session.together():
            more: list[str | None] = []
            if attempt(lambda: more.append(action()), self._events):
                self._events.message.emit(f"Region {number} {said}{more[0] or ''}")
                self._open_first(before[place + 1 :] + before[:place])

    def _open_first(self, items: list[WorkItem]) -> None:
        """Open the first of these that nobody else has taken in the meantime."""
        case, navigation = self._session.case, self._navigation
        here = list(takewhile(lambda item: case is not None and item.case.key == case.record.key, items))
        rest = items[len(here) :]
        self._claims.open(here, otherwise=lambda: navigation.open_item(rest[0]) if rest else None)

    def _amend(self) -> None:
        attempt(lambda: self._claims.open([self._session.last_item()], then=self._tell_amending), self._events)

    def _tell_amending(self) -> None:
        reading = self._session.reading
        if reading is not None and reading.supersedes:
            self._events.message.emit(RECOVERED if reading.recovered else AMENDING)
