"""The API over HTTP: one handler that finds out what is asked and has it done."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

import msgspec
import yaml
from aiohttp import web

from ippolicy.sandbox.kube import coreevents, discovery, paths
from ippolicy.sandbox.kube.admission import Write
from ippolicy.sandbox.kube.deletion import Deletion
from ippolicy.sandbox.kube.faults import Fault, Faults
from ippolicy.sandbox.kube.objects import Clock, Json, Object, decode, dig, encode, without
from ippolicy.sandbox.kube.paths import NoSuchPath, Target
from ippolicy.sandbox.kube.presenting import Presenter
from ippolicy.sandbox.kube.reads import Page, list_page, selection
from ippolicy.sandbox.kube.refusals import Refused, invalid, not_found
from ippolicy.sandbox.kube.requestlog import Request, RequestLog
from ippolicy.sandbox.kube.store import Record
from ippolicy.sandbox.kube.watches import Watch
from ippolicy.sandbox.kube.webhooks import Webhooks
from ippolicy.sandbox.kube.writes import APPLY, Outcome, Writer

_JSON = "application/json"
_HEALTH = ("/readyz", "/healthz", "/livez")
_MAX_BODY_BYTES = 16 * 2**20
_WRITES = ("create", "update", "patch", "delete", "deletecollection")


@dataclass(frozen=True)
class _Call:
    """One request in terms of the API."""

    target: Target
    query: Mapping[str, str]
    content_type: str
    accept: str
    user_agent: str
    body: Json

    @property
    def manager(self) -> str:
        """The field manager: as given, else the first word of the user agent."""
        return self.query.get("fieldManager") or self.user_agent.partition("/")[0][:128]

    @property
    def write(self) -> Write:
        """Who writes and how."""
        subresource = "status" if self.target.subresource == "status" else ""
        dry_run = self.query.get("dryRun") == "All"
        validation = self.query.get("fieldValidation") or "Warn"
        return Write(self.manager, subresource, dry_run, validation)


class Frontend:
    """Serves a store and its writer; `tokens` are bearer tokens with their user names."""

    def __init__(
        self,
        writer: Writer,
        webhooks: Webhooks,
        *,
        faults: Faults,
        log: RequestLog,
        clock: Clock,
        tokens: Mapping[str, str],
        anonymous: bool,
        bookmark_interval_s: float,
    ) -> None:
        self._writer = writer
        self._webhooks = webhooks
        self._store = writer.store
        self._registry = writer.registry
        self._faults = faults
        self._log = log
        self._clock = clock
        self._tokens = tokens
        self._anonymous = anonymous
        self._bookmark_interval_s = bookmark_interval_s
        self._watches: set[Watch] = set()

    def application(self) -> web.Application:
        """The aiohttp application."""
        app = web.Application(client_max_size=_MAX_BODY_BYTES)
        app.router.add_route("*", "/{path:.*}", self._handle)
        return app

    def drop_watches(self, plural: str = "") -> int:
        """Cut the running watches, of one resource or all; gives their number."""
        watches = [w for w in tuple(self._watches) if plural in ("", w.kind.plural)]
        for watch in watches:
            watch.drop()
        return len(watches)

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        try:
            user = self._authenticate(request)
            if request.path in _HEALTH:
                return web.Response(text="ok")
            document = discovery.document(request.path, self._registry, request.host)
            if document is not None:
                return web.json_response(body=encode(document))
            target = paths.parse(request.method, request.path, request.query, self._registry)
        except NoSuchPath:
            return web.Response(status=404, text="404 page not found\n")
        except Refused as refusal:
            return _refusal(refusal)
        return await self._serve(request, target, user)

    def _authenticate(self, request: web.Request) -> str:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() == "bearer" and token in self._tokens:
            return self._tokens[token]
        if self._anonymous:
            return "system:anonymous"
        raise Refused(401, "Unauthorized")

    async def _serve(self, request: web.Request, target: Target, user: str) -> web.StreamResponse:
        fault = self._faults.take(target.verb, target.resource, target.address)
        call: _Call | None = None
        code = 0
        try:
            call = await _read(request, target)
            response = await self._suffer(request, fault) or await self._answer(request, call)
            code = response.status
        except Refused as refusal:
            code = refusal.code
            response = _refusal(refusal)
        finally:
            self._log.add(_logged(request, target, call, user, code))
        return response

    async def _suffer(self, request: web.Request, fault: Fault | None) -> web.StreamResponse | None:
        if fault is None:
            return None
        await asyncio.sleep(fault.delay_s)
        if fault.hang:
            await asyncio.Event().wait()
        if fault.drop_connection:
            if request.transport is not None:
                request.transport.abort()
            raise ConnectionResetError("the connection was dropped on order")
        if fault.garbage is not None:
            return web.Response(body=fault.garbage, content_type=_JSON)
        if fault.status is None:
            return None
        details = {} if fault.retry_after_s is None else {"retryAfterSeconds": fault.retry_after_s}
        response = _refusal(Refused(fault.status, fault.message, details=details))
        if fault.retry_after_s is not None:
            response.headers["Retry-After"] = str(fault.retry_after_s)
        return response

    async def _answer(self, request: web.Request, call: _Call) -> web.StreamResponse:
        presenter = Presenter(
            call.target.kind,
            call.accept,
            self._clock,
            call.query.get("includeObject", "Metadata"),
        )
        match call.target.verb:
            case "watch":
                return await self._watch(request, call, presenter)
            case "list":
                target = call.target
                page = list_page(self._store, target.kind, target.namespace, call.query)
                body = presenter.page(page)
            case "get":
                body = presenter.whole(self._get(call))
            case "delete":
                body = self._delete(call, presenter)
            case "deletecollection":
                body = self._delete_collection(call, presenter)
            case _:
                return await self._change(call, presenter)
        return web.Response(body=body, content_type=_JSON)

    def _get(self, call: _Call) -> Record:
        target = call.target
        record = self._store.get(target.kind.key, target.namespace, target.name)
        if record is None:
            raise not_found(target.kind.plural, target.kind.group, target.name)
        return record

    async def _watch(
        self, request: web.Request, call: _Call, presenter: Presenter
    ) -> web.StreamResponse:
        watch = Watch(self._store, call.target.kind, call.target.namespace, call.query)
        response = web.StreamResponse(headers={"Content-Type": _JSON})
        response.enable_chunked_encoding()
        await response.prepare(request)
        self._watches.add(watch)
        try:
            await watch.stream(
                response,
                presenter,
                self._faults,
                bookmark_interval_s=self._bookmark_interval_s,
            )
        except ConnectionResetError:
            if request.transport is not None:
                request.transport.abort()
        finally:
            self._watches.discard(watch)
        return response

    async def _change(self, call: _Call, presenter: Presenter) -> web.Response:
        if call.target.subresource == "binding":
            node = dig(call.body, "target", "name")
            self._writer.bind(call.target.namespace, call.target.name, node, call.write)
            return web.json_response(_success({}), status=201)
        outcome = await self._write(call)
        response = web.Response(
            body=presenter.whole(outcome.record),
            status=201 if outcome.created else 200,
            content_type=_JSON,
        )
        for warning in outcome.warnings:
            text = warning.replace('"', '\\"')
            response.headers.add("Warning", f'299 - "{text}"')
        return response

    async def _write(self, call: _Call) -> Outcome:
        target, kind, write = call.target, call.target.kind, call.write
        body = call.body
        if coreevents.needs_conversion(kind) and isinstance(body, dict):
            core = self._registry.find("", "v1", "events")
            kind, body = core or kind, coreevents.to_core(body)
        if target.verb == "create":
            body = await self._webhooks.admit(kind, target.namespace, body, write)
            return self._writer.create(kind, target.namespace, body, write)
        if target.verb == "update":
            return self._writer.update(kind, target.namespace, target.name, body, write)
        force = call.query.get("force") in ("true", "1")
        _check_patch_options(call, force=force)
        return self._writer.patch(
            kind,
            target.namespace,
            target.name,
            body,
            write,
            content_type=call.content_type,
            force=force,
        )

    def _delete(self, call: _Call, presenter: Presenter) -> bytes:
        target = call.target
        options = _deletion(call)
        outcome = self._writer.delete(target.kind, target.namespace, target.name, options)
        if not outcome.removed or target.kind.graceful:
            return presenter.whole(outcome.record)
        details = {
            "name": target.name,
            "group": target.kind.group,
            "kind": target.kind.plural,
            "uid": outcome.record.value["metadata"]["uid"],
        }
        if not target.kind.group:
            details = without(details, "group")
        return encode(_success(details))

    def _delete_collection(self, call: _Call, presenter: Presenter) -> bytes:
        target = call.target
        chosen = selection(target.kind, call.query)
        records = [
            record
            for record in self._store.list(target.kind.key, target.namespace)
            if chosen.matches(record.value)
        ]
        options = _deletion(call)
        for record in records:
            self._writer.delete(target.kind, *record.address, options)
        page = Page(self._store.version, records)
        return presenter.page(page)


def _refusal(refusal: Refused) -> web.Response:
    return web.json_response(refusal.status(), status=refusal.code)


def _success(details: Object) -> Object:
    status = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}
    return {**status, "details": details} if details else status


async def _read(request: web.Request, target: Target) -> _Call:
    data = await request.read()
    content_type = request.content_type if data else ""
    return _Call(
        target=target,
        query=request.query,
        content_type=content_type,
        accept=request.headers.get("Accept", ""),
        user_agent=request.headers.get("User-Agent", ""),
        body=_decode(data, content_type) if data else None,
    )


def _decode(data: bytes, content_type: str) -> Json:
    if "protobuf" in content_type:
        raise Refused(
            415,
            "the body of the request was in an unknown format - accepted media types include:"
            " application/json, application/yaml",
        )
    try:
        if content_type in (APPLY, "application/yaml") and not data.lstrip().startswith(b"{"):
            return yaml.safe_load(data)
        return decode(data)
    except (msgspec.DecodeError, yaml.YAMLError) as error:
        raise Refused(400, f"error decoding the body: {error}") from error


def _check_patch_options(call: _Call, *, force: bool) -> None:
    if call.content_type == APPLY and not call.query.get("fieldManager"):
        error = (
            "fieldManager",
            "FieldValueRequired",
            "Required value: is required for apply patch",
        )
        raise invalid("PatchOptions", "meta.k8s.io", "", [error])
    if call.content_type != APPLY and force:
        error = (
            "force",
            "FieldValueForbidden",
            "Forbidden: may not be specified for non-apply patch",
        )
        raise invalid("PatchOptions", "meta.k8s.io", "", [error])


def _deletion(call: _Call) -> Deletion:
    options = call.body if isinstance(call.body, dict) else {}
    grace = options.get("gracePeriodSeconds", call.query.get("gracePeriodSeconds"))
    preconditions = options.get("preconditions") or {}
    dry_run = options.get("dryRun") or call.query.get("dryRun")
    return Deletion(
        grace_s=None if grace is None else int(grace),
        orphan=(options.get("propagationPolicy") or call.query.get("propagationPolicy"))
        == "Orphan",
        uid=preconditions.get("uid"),
        resource_version=preconditions.get("resourceVersion"),
        dry_run=bool(dry_run),
    )


def _logged(
    request: web.Request, target: Target, call: _Call | None, user: str, code: int
) -> Request:
    return Request(
        verb=target.verb,
        resource=target.kind.plural,
        namespace=target.namespace,
        name=target.name,
        subresource=target.subresource,
        manager=call.manager if call and target.verb in _WRITES else "",
        content_type=call.content_type if call else "",
        user_agent=request.headers.get("User-Agent", ""),
        user=user,
        query=dict(request.query),
        body=call.body if call else None,
        code=code,
    )
