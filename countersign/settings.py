"""Every setting, typed, in one place. Read from `COUNTERSIGN_*` variables; secrets are masked where they are shown."""

import re
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import Field, SecretStr, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from countersign.breaker.config import check_overrides
from countersign.errors import InvalidRequest

ROOT = Path(__file__).resolve().parent.parent
"""The checkout, where playbooks, examples and shared data are found by default."""


class Settings(BaseSettings):
    """All settings of all processes. An unset server address means: the embedded one of `home`."""

    model_config = SettingsConfigDict(env_prefix="COUNTERSIGN_", env_ignore_empty=True, extra="ignore", frozen=True)

    home: Path = Path(".countersign")
    """Where the embedded stack keeps its state."""
    data: Path = ROOT.parent / "shared" / "data"
    """Real data for benchmarks and tests."""
    playbooks: Path = ROOT / "playbooks"

    temporal_address: str | None = None
    temporal_namespace: str = "default"
    temporal_profile: str | None = None
    """Profile of Temporal's own configuration file; its address, TLS and key are used as they stand."""
    temporal_api_key: SecretStr | None = None
    database_url: SecretStr | None = None
    redis_url: SecretStr | None = None

    master_key: SecretStr | None = None
    """32 bytes, base64: wraps the data keys of documents. Made in `home` when unset."""
    pseudonym_key: SecretStr | None = None
    """32 bytes, base64: keys the pseudonyms in trail and search attributes. Made in `home` when unset."""

    gateway_key: SecretStr | None = None
    """32 bytes, base64: with it the gateway signs decisions of those who signed in there. Made in `home` when unset."""
    signing_key: Path | None = None
    """A PEM file with one's own Ed25519 key: with it the command line signs decisions."""

    model: str = "offline"
    """Model of every agent that the playbook names none for: `offline`, `anthropic:…`, or several with commas."""
    sentinel_model: str | None = None
    """Model of the sentinel agent, a cheap one (`anthropic:…`); unset: patterns and statistical scorer alone."""
    tenant: str = Field(default="default", pattern=r"^[a-z0-9][a-z0-9-]{0,31}$")
    user: str = "me"
    max_document_mb: float = Field(default=20, gt=0, le=1000)
    retention_days: int = Field(default=2555, ge=1)
    whole_document_chars: int = Field(default=400_000, gt=0)
    """Up to this length every specialist reads the whole document; above it, the sections the plan names."""
    session_ttl_s: int = Field(default=86_400, gt=0)
    workflow_task_slots: int = Field(default=8, ge=2, le=100)
    """More lets a cold worker wedge under load (TMPRL1101); see the traps in the docs."""
    max_cached_workflows: int = Field(default=1000, ge=0)
    agent_slots: int = Field(default=8, ge=1)
    circuits: dict[str, dict[str, float]] = {}
    """Rules of circuits that differ from the defaults (`countersign/breaker/config.py`), by name or its beginning:
    {"model": {"open_s": 5}, "model:anthropic": {"limit_max": 16}, "tool:search": {"stall_s": 20}}."""

    notice_folder: Path | None = None
    """Where notices are put that people approved, one JSON file each; unset: they stay in the outbox."""

    probes: bool = True
    """Whether reviews may carry vigilance probes at all; how many do is the limit `probe_share`."""
    console_url: str | None = None
    """Where people reach the console (https://countersign.example): notifications then link to their review, and an
    OIDC issuer sends people back there who signed in."""
    smtp_url: SecretStr | None = None
    """Server that takes notifications by e-mail: smtps://user:password@host:465, or smtp:// for one with STARTTLS."""
    smtp_from: str = "countersign@localhost"
    private_webhooks: bool = False
    """Whether notifications may go to addresses of this machine or network, and over plain http."""

    semi_bar: float = Field(default=0.95, gt=0, lt=1)
    """Agreement with people, weighted by severity, that evidence must show a cell to exceed to become semi-autonomous.
    """
    autonomous_bar: float = Field(default=0.98, gt=0, lt=1)
    """The same for autonomous; not below `semi_bar`."""
    target_error: float = Field(default=0.05, gt=0, lt=1)
    """Share of error allowed among what is released by itself; sets the review threshold where there is evidence."""

    audit_semi: float = Field(default=0.2, gt=0, le=1)
    """Share of what a semi-autonomous cell would release that a person looks at all the same, drawn by chance. More
    while errors are suspected, and never none: without it nobody would notice that the agents got worse."""
    audit_autonomous: float = Field(default=0.1, gt=0, le=1)
    audit_urgency: float = Field(default=10.0, ge=0)
    """How quickly that share grows with suspicion (`countersign/evidence/audit_sample.py`)."""

    gateway_host: str = "127.0.0.1"
    gateway_port: int = Field(default=8480, ge=0, le=65_535)
    """Port of the HTTP gateway; 0 takes a free one."""
    metrics_token: SecretStr | None = Field(default=None, min_length=16)
    """Who sends it as a bearer token sees `/metrics` of all tenants, and nothing else: for the house's own Prometheus.
    Keys see their tenant's."""
    oidc_issuer: str | None = None
    """Issuer of OIDC bearer tokens; unset: API keys alone."""
    oidc_audience: str | None = None
    oidc_client_id: str | None = None
    """What the console is called at the issuer: with it people sign in there. Takes `console_url`."""
    oidc_client_secret: SecretStr | None = None
    """If the issuer gave it one; sign-ins are bound by PKCE either way."""
    oidc_scope: str = Field(default="openid", pattern=r"^(?:.* )?openid(?: .*)?$")
    """What the console asks the issuer for, if the claims take more than `openid`."""
    oidc_jwks_url: str | None = None
    """Where the issuer's keys are; unset: as its discovery document says."""
    oidc_role_claim: str = "roles"
    oidc_tenant_claim: str = "tenant"
    oidc_user_claim: str = "sub"
    read_memory_mb: int = Field(default=1024, ge=128)
    """Memory of the process that parses one document."""
    read_seconds: float = Field(default=60, gt=0)
    """Time to parse one document."""

    @field_validator("temporal_address")
    @classmethod
    def _is_an_address(cls, address: str | None) -> str | None:
        if address is not None and not re.fullmatch(r"[^\s/]+:\d{1,5}", address):
            raise ValueError("is not host:port")
        return address

    @field_validator("redis_url")
    @classmethod
    def _is_a_redis_url(cls, url: SecretStr | None) -> SecretStr | None:
        if url is not None and not url.get_secret_value().startswith(("redis://", "rediss://", "unix://")):
            raise ValueError("is not a Redis URL, as redis://:password@host:6379/0")
        return url

    @field_validator("circuits")
    @classmethod
    def _are_rules(cls, circuits: dict[str, dict[str, float]]) -> dict[str, dict[str, float]]:
        try:
            check_overrides(circuits)
        except InvalidRequest as error:
            raise ValueError(error.message) from None
        return circuits

    @field_validator("autonomous_bar")
    @classmethod
    def _bars_rise(cls, bar: float, info: ValidationInfo) -> float:
        if bar < info.data.get("semi_bar", 0.0):
            raise ValueError("is below semi_bar; the higher level takes at least as much")
        return bar

    @cached_property
    def state(self) -> Path:
        """`home` as an absolute path."""
        return self.home.expanduser().resolve()

    def shown(self) -> dict[str, Any]:
        """Every setting for people, secrets masked."""
        return {
            name: ("********" if isinstance(value, SecretStr) else str(value) if isinstance(value, Path) else value)
            for name, value in self
        }
