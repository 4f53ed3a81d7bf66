"""The only module that talks to Kubernetes (kopf's watches apart): plain objects in and out.

Every call is one request, or a few for a long list; nothing is retried here, because the loop of a run
comes back anyway and asks anew what is needed. What a request can end with is an answer, None where
absence is an answer, or one of `errors`, which says what kind of trouble it was. The client library's
discovery is not used: it wants a cache file, and the few kinds that we touch are written down in `kinds`.
"""

import asyncio
import json
import os
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, NamedTuple

import aiohttp
from kubernetes.aio import client, config
from kubernetes.aio.client.exceptions import ApiException
from kubernetes.aio.dynamic import DynamicClient

from autolfads_operator.errors import OperatorError, OutdatedError, RefusedError, UnavailableError
from autolfads_operator.kinds import Kind, Object
from autolfads_operator.manifests.names import FIELD_MANAGER
from autolfads_operator.metrics import Metrics
from autolfads_operator.settings import OperatorSettings

PAGE = 250  # objects; keeps the server's and our memory flat when there are thousands
# aiohttp ends TLS connections in the background and asks for a moment before the loop is closed.
TLS_END_SECONDS = 0.25
_NAME_ONLY = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
_NAMES_ONLY = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"


class Credentials(NamedTuple):
    """How this process reaches the API server, for kopf's own requests."""

    server: str
    token: str | None
    ca_path: str | None
    certificate_path: str | None
    private_key_path: str | None
    insecure: bool


class NotServedError(OutdatedError):
    """There is no such object, or no such kind."""


class ForbiddenError(RefusedError):
    """Not allowed to us, or the namespace is being removed."""


class KubeApi:
    """Requests to one Kubernetes API server, with the rights of this process."""

    def __init__(
        self,
        api_client: client.ApiClient,
        metrics: Metrics,
        timeout_seconds: float,
        field_manager: str = FIELD_MANAGER,
    ) -> None:
        self.field_manager = field_manager
        self._client = api_client
        self._dynamic = DynamicClient(api_client)  # type: ignore[no-untyped-call]
        self._metrics = metrics
        self._timeout = aiohttp.ClientTimeout(total=timeout_seconds)

    @classmethod
    async def connect(cls, settings: OperatorSettings, metrics: Metrics) -> "KubeApi":
        """An API with the pod's service account, or a kubeconfig.

        Raises:
          RefusedError: if there are no credentials.
        """
        configuration = client.Configuration()
        configuration.connection_pool_maxsize = 4 * settings.concurrency
        path = settings.kubeconfig or os.environ.get("KUBECONFIG")
        try:
            if path is None and "KUBERNETES_SERVICE_HOST" in os.environ:
                config.load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
            else:
                await config.load_kube_config(  # type: ignore[no-untyped-call]
                    config_file=path, client_configuration=configuration, persist_config=False
                )
        except config.ConfigException as error:
            raise RefusedError(
                "wanted credentials for Kubernetes, found neither a service account nor a readable "
                f"kubeconfig ({error}); run in a cluster, or set AUTOLFADS_KUBECONFIG"
            ) from error
        return cls(client.ApiClient(configuration=configuration), metrics, settings.api_timeout_seconds)

    async def credentials(self) -> Credentials:
        """Those of now: a service account's token changes every hour."""
        configuration = self._client.configuration
        header = await configuration.get_api_key_with_prefix("BearerToken")
        return Credentials(
            server=configuration.host,
            token=header.rpartition(" ")[2] if header else None,
            ca_path=configuration.ssl_ca_cert,
            certificate_path=configuration.cert_file,
            private_key_path=configuration.key_file,
            insecure=not configuration.verify_ssl,
        )

    async def __aenter__(self) -> "KubeApi":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._client.close()  # type: ignore[no-untyped-call]
        await asyncio.sleep(TLS_END_SECONDS)

    async def get(self, kind: Kind, namespace: str | None, name: str) -> Object | None:
        """The object, or None where there is none (or no such kind)."""
        try:
            return await self._request("get", kind.path(namespace, name))
        except NotServedError:
            return None

    async def get_version(self, kind: Kind, namespace: str | None, name: str) -> str | None:
        """The object's resourceVersion without the object; None where there is none."""
        try:
            found = await self._request(
                "get", kind.path(namespace, name), header_params={"Accept": _NAME_ONLY}
            )
        except NotServedError:
            return None
        return str(found["metadata"]["resourceVersion"])

    async def list_all(
        self, kind: Kind, namespace: str | None = None, labels: str | None = None
    ) -> list[Object]:
        """All objects, of one namespace or of all.

        Raises:
          NotServedError: where the kind is not served; what that says of its objects is the caller's to know.
        """
        return await self._pages(kind, namespace, labels, {})

    async def list_names(
        self, kind: Kind, namespace: str | None = None, labels: str | None = None
    ) -> list[Object]:
        """The same, metadata only: a hundredth of the bytes."""
        return await self._pages(kind, namespace, labels, {"Accept": _NAMES_ONLY})

    async def apply(
        self, kind: Kind, namespace: str | None, body: Mapping[str, Any], subresource: str | None = None
    ) -> Object:
        """Server-side apply: the object has these fields afterwards, whoever had them before.

        With metadata.uid in the body only that very object is changed, and none is made.

        Raises:
          OutdatedError: if there is another object, or none, of that uid.
        """
        name = body["metadata"]["name"]
        return await self._request(
            "patch",
            kind.path(namespace, name, subresource),
            body={"apiVersion": kind.api_version, "kind": kind.kind, **body},
            content_type="application/apply-patch+yaml",
            field_manager=self.field_manager,
            force_conflicts="true",
        )

    async def create(self, kind: Kind, namespace: str | None, body: Mapping[str, Any]) -> Object:
        """A new object.

        Raises:
          OutdatedError: if there is one of that name.
        """
        return await self._request(
            "post",
            kind.path(namespace),
            body={"apiVersion": kind.api_version, "kind": kind.kind, **body},
            field_manager=self.field_manager,
        )

    async def replace(self, kind: Kind, namespace: str | None, body: Mapping[str, Any]) -> Object:
        """The object as given, if nobody changed it since its resourceVersion.

        Raises:
          OutdatedError: if somebody did.
        """
        path = kind.path(namespace, body["metadata"]["name"])
        return await self._request("put", path, body=dict(body), field_manager=self.field_manager)

    async def patch(
        self, kind: Kind, namespace: str | None, name: str, operations: Sequence[Mapping[str, Any]]
    ) -> Object | None:
        """JSON patch; None where the object is gone.

        Raises:
          RefusedError: if one of its `test` operations fails: nothing is changed then.
        """
        try:
            return await self._request(
                "patch",
                kind.path(namespace, name),
                body=[dict(operation) for operation in operations],
                content_type="application/json-patch+json",
                field_manager=self.field_manager,
            )
        except NotServedError:
            return None

    async def delete(self, kind: Kind, namespace: str | None, name: str, uid: str | None = None) -> None:
        """Ask for the object, and then for what it owns, to be removed; one that is gone is removed already.

        With a uid only that very object is; another of the same name stays, without an error.
        """
        body: Object = {"propagationPolicy": "Background"}
        if uid is not None:
            body["preconditions"] = {"uid": uid}
        try:
            await self._request("delete", kind.path(namespace, name), body=body)
        except (NotServedError, OutdatedError):
            return

    async def serves(self, kind: Kind) -> bool:
        """Whether the API server knows the kind; needs no rights."""
        try:
            found = await self._request("get", kind.root)
        except NotServedError:
            return False
        return any(resource.get("name") == kind.plural for resource in found.get("resources", ()))

    async def _pages(
        self, kind: Kind, namespace: str | None, labels: str | None, headers: Mapping[str, str]
    ) -> list[Object]:
        found: list[Object] = []
        token: str | None = None
        while True:
            page = await self._request(
                "get",
                kind.path(namespace),
                label_selector=labels,
                limit=PAGE,
                _continue=token,
                header_params=dict(headers),
            )
            found += page.get("items") or []  # of names only, an empty list is null
            token = page.get("metadata", {}).get("continue")
            if not token:
                return found

    async def _request(self, method: str, path: str, body: Any = None, **params: Any) -> Object:
        code = "error"
        try:
            response = await self._dynamic.request(
                method, path, body=body, serialize=False, _request_timeout=self._timeout, **params
            )
            code = str(response.status)
            found = await response.json()
        except ApiException as error:
            code = str(error.status)
            raise _translated(error, method, path) from error
        # A ValueError is an answer that is no JSON: cut off, or a proxy's.
        except (aiohttp.ClientError, TimeoutError, asyncio.IncompleteReadError, OSError, ValueError) as error:
            raise UnavailableError(
                f"Kubernetes: wanted an answer to {method} {path}, found {type(error).__name__}: {error}; "
                "it is tried again"
            ) from error
        finally:
            self._metrics.api_requests.labels(method, code).inc()
        return dict(found)


def _translated(error: ApiException, method: str, path: str) -> OperatorError:
    status = int(error.status or 0)
    message = _message(error)
    text = f"Kubernetes: wanted {method} {path}, found {status} {message}"
    if "field not declared in schema" in message:  # Kubernetes 1.35 answers that with 500
        return RefusedError(f"{text}; the CRD is older than this operator: install the newer one")
    if status in (401, 408, 410, 429) or status >= 500:
        return UnavailableError(f"{text}; it is tried again")
    if status == 404:
        return NotServedError(f"{text}; check the name, and that its CRD is installed")
    if status == 403:
        return ForbiddenError(f"{text}; check the operator's role")
    # The server calls it invalid when another object of the name is there, and a conflict when none is.
    if status in (409, 412) or (status == 422 and "metadata.uid" in _fields(error)):
        return OutdatedError(f"{text}; it is looked at anew")
    return RefusedError(f"{text}; correct the object")


def _said(error: ApiException) -> Object:
    """The server's `Status`; empty when something else answered."""
    try:
        found = json.loads(error.body or "")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _fields(error: ApiException) -> list[str]:
    causes = (_said(error).get("details") or {}).get("causes") or ()
    return [cause.get("field", "") for cause in causes]


def _message(error: ApiException) -> str:
    return str(_said(error).get("message") or error.reason or "")[:1000]
