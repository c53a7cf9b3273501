"""The routes of the pages of incidents, and of the forms on them.

Knows paths, parameters and codes. Who may come this far was asked before, by the guard.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from urllib.parse import parse_qs

from fastapi import FastAPI
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from drift_exporter.errors import DriftExporterError, IncidentError, StoreError
from drift_exporter.incident import ACTIVE, MOVES, IncidentState
from drift_exporter.incident.case import Person
from drift_exporter.web import incident_pages
from drift_exporter.web.credentials import PERSON, FormTokens
from drift_exporter.web.desk_parts import Desk
from drift_exporter.web.incident_pages import CHOICES, Listing, Signed
from drift_exporter.web.incident_views import in_order, incident_view
from drift_exporter.web.page_routes import frame_of
from drift_exporter.web.pages import Frame
from drift_exporter.web.parts import WebParts
from drift_exporter.web.refusals import code_of, id_of
from drift_exporter.web.roles import DECISIONS, OUTCOMES

MOST = 100
"""Incidents that a list shows."""

MOST_ACTIVE = 1000
MOST_UNMATCHED = 50
_OVER = frozenset(IncidentState) - ACTIVE
_FORM_BYTES = 128 * 1024
"""Largest form: a note of ten thousand characters, each sent as up to twelve bytes."""

_MISSING = "There is no such incident."

Do = Callable[[Person, dict[str, str]], object]


@dataclass(frozen=True)
class IncidentPages:
    """Answers requests for pages of incidents. Reading runs on threads, not on the event loop."""

    parts: WebParts
    telemetry: str
    desk: Desk
    tokens: FormTokens = field(default_factory=FormTokens)

    def add_to(self, app: FastAPI, prefix: str) -> None:
        """Add the routes below a prefix."""
        one = f"{prefix}/incidents/{{incident}}"
        app.add_route(f"{prefix}/incidents", self.incidents, methods=["GET"])
        app.add_route(one, self.incident, methods=["GET"])
        for move in MOVES:
            app.add_route(f"{one}/{move}", self._moving(move), methods=["POST"])
        app.add_route(f"{one}/request", self.request, methods=["POST"])
        app.add_route(f"{one}/analyse", self.analyse, methods=["POST"])
        for answer in (*DECISIONS, *OUTCOMES):
            path = f"{one}/actions/{{action}}/{answer}"
            app.add_route(path, self._answering(answer), methods=["POST"])
        app.add_route(f"{prefix}/approve", self.invitation, methods=["GET"])
        app.add_route(f"{prefix}/approve", self.answer, methods=["POST"])

    def incidents(self, request: Request) -> Response:
        """All incidents, what goes on first."""
        asked = request.query_params
        model = asked.get("model", "")
        state = asked.get("state", "") if asked.get("state") in CHOICES else ""
        before = id_of(asked.get("before", "")) or None
        try:
            listing = self._listing(model, state, before)
        except StoreError as error:
            return self._said("./", 503, "The incidents cannot be read", str(error))
        return HTMLResponse(incident_pages.incidents_page(self._frame("./"), listing))

    def incident(self, request: Request) -> Response:
        """One incident."""
        return self._shown(request, "../", "", 200)

    async def request(self, request: Request) -> Response:
        """A form that asks for an action."""
        number = id_of(request.path_params["incident"])

        def do(person: Person, form: dict[str, str]) -> object:
            return self.desk.request(number, form.get("name", ""), person)

        return await self._done(request, "../", do)

    async def analyse(self, request: Request) -> Response:
        """A form that has an incident judged once more."""
        number = id_of(request.path_params["incident"])

        def do(person: Person, _: dict[str, str]) -> object:
            return self.desk.analyse(number, person)

        return await self._done(request, "../", do)

    def invitation(self, request: Request) -> Response:
        """What a signed link asks; looking changes nothing, as programs follow links too."""
        link = request.query_params.get("link", "")
        try:
            found = self.desk.invitation(link)
        except DriftExporterError as error:
            code = code_of(error, there=False)
            return self._said("./", code, "The link cannot be used", str(error))
        return HTMLResponse(incident_pages.approve_page(self._frame("./"), found, link))

    async def answer(self, request: Request) -> Response:
        """The button of a signed link."""
        form = await _form(request)

        def do() -> Response:
            try:
                action = self.desk.answer(form.get("link", ""), form.get("text", ""))
            except DriftExporterError as error:
                code = code_of(error, there=True)
                return self._said("./", code, "The answer does not count", str(error))
            text = f"{action.name} is {action.state} now. It is written down in your name."
            return self._said("./", 200, "Thank you", text)

        return await run_in_threadpool(do)

    def _moving(self, move: str) -> Callable[[Request], Awaitable[Response]]:
        async def moved(request: Request) -> Response:
            number = id_of(request.path_params["incident"])

            def do(person: Person, form: dict[str, str]) -> object:
                return self.desk.move(number, person, move, form.get("text", ""))

            return await self._done(request, "../", do)

        return moved

    def _answering(self, answer: str) -> Callable[[Request], Awaitable[Response]]:
        async def answered(request: Request) -> Response:
            number = id_of(request.path_params["incident"])
            action = id_of(request.path_params["action"])

            def do(person: Person, form: dict[str, str]) -> object:
                found = self.desk.action(action)
                if found is None or found.incident_id != number:
                    raise IncidentError(f"incident {number} has no such action")
                text = form.get("text", "")
                if answer in OUTCOMES:
                    return self.desk.settle(action, person, answer == "succeeded", text)
                return self.desk.decide(action, person, answer, text)

            return await self._done(request, "../../../", do)

        return answered

    async def _done(self, request: Request, back: str, do: Do) -> Response:
        """The answer to a form: back to the incident, or the incident with the error."""
        form = await _form(request)
        return await run_in_threadpool(self._do, request, form, back, do)

    def _do(self, request: Request, form: dict[str, str], back: str, do: Do) -> Response:
        person = _asks(request)
        root = f"{back}../"
        if not self.tokens.right(person, form.get("token", "")):
            text = "The page was too old. Look at the incident again, then repeat what you did."
            return self._shown(request, root, text, 403)
        try:
            do(person, form)
        except DriftExporterError as error:
            return self._shown(request, root, str(error), code_of(error, there=True))
        return RedirectResponse(f"{back}{id_of(request.path_params['incident'])}", 303)

    def _shown(self, request: Request, root: str, error: str, code: int) -> Response:
        try:
            case = self.desk.case(id_of(request.path_params["incident"]))
        except StoreError as failed:
            return self._said(root, 503, "The incident cannot be read", str(failed))
        if case is None:
            return self._said(root, 404, "Not found", _MISSING)
        person = _asks(request)
        view = incident_view(case, person, self.desk.actions_to_ask(case.incident))
        signed = Signed(person, self.tokens.token(person), not self.desk.people.restricted)
        page = incident_pages.incident_page(self._frame(root), view, signed, error)
        return HTMLResponse(page, code)

    def _listing(self, model: str, state: str, before: int | None) -> Listing:
        desk, of_model, chosen = self.desk, model or None, CHOICES[state]
        going_on = [] if chosen or before else desk.incidents(of_model, ACTIVE, MOST_ACTIVE)
        others = desk.incidents(of_model, chosen or _OVER, MOST, before)
        alone = not (model or state or before)
        return Listing(
            going_on=in_order(going_on),
            others=others,
            unmatched=desk.unmatched_alerts(MOST_UNMATCHED) if alone else (),
            model=model,
            state=state,
            older=others[-1].id if len(others) == MOST else None,
            owners={s.model: s.owner for s in self.parts.snapshots() if s.owner},
        )

    def _said(self, root: str, code: int, title: str, text: str) -> Response:
        return HTMLResponse(incident_pages.said_page(self._frame(root), title, text), code)

    def _frame(self, root: str) -> Frame:
        return frame_of(self.parts, root, self.telemetry)


async def _form(request: Request) -> dict[str, str]:
    """The fields of a form; nothing where it is none, or too long to be one of ours."""
    body = await request.body()
    if len(body) > _FORM_BYTES:
        return {}
    try:
        fields = parse_qs(body.decode(), keep_blank_values=True, max_num_fields=20)
    except ValueError:
        return {}
    # Browsers send the ends of lines as CR LF.
    return {name: values[-1].replace("\r\n", "\n") for name, values in fields.items()}


def _asks(request: Request) -> Person:
    person: Person = request.scope[PERSON]
    return person
