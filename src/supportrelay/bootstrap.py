"""bootstrap: the only place that knows every part: config -> edges -> stations -> a running worker."""

import asyncio
import os
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from supportrelay.admin.context import OperationContext
from supportrelay.bootstrap_crm import Crm, open_crm
from supportrelay.bootstrap_dkim import open_sealer
from supportrelay.bootstrap_listen import certificates_of, use_pairs
from supportrelay.bootstrap_proof import SenderProof, open_proof
from supportrelay.config import Config, crm_needs_restart
from supportrelay.core.decision import Decision, Fallback
from supportrelay.core.envelope import Envelope
from supportrelay.core.errors import ConfigError, InputError
from supportrelay.core.guard_note import WORDS as GUARD_WORDS
from supportrelay.core.ports import Courier, Lease
from supportrelay.core.rule_examples import check_examples
from supportrelay.edge.domains import PublicDomains
from supportrelay.edge.outbox import OutboxCourier
from supportrelay.edge.patterns import compile_pattern
from supportrelay.edge.proof import Prover
from supportrelay.edge.smtp_out import Smarthost, SmtpCourier
from supportrelay.edge.store import SqliteStore
from supportrelay.edge.templates import BannerTemplates
from supportrelay.flow.examples import example_decider
from supportrelay.flow.explain import explain
from supportrelay.flow.intake import Intake
from supportrelay.flow.meter import Meter
from supportrelay.flow.office import Office, Rulebook
from supportrelay.i18n import Catalogue
from supportrelay.log import get_logger

__all__ = [
    "Parts",
    "check_rules",
    "context_of",
    "open_offline",
    "open_parts",
    "prepare_store",
]

log = get_logger()

_LEASE = timedelta(seconds=30)
_PROOFS_KEPT = 2  # the present one, and the one before for the seconds that a proof may take
_LANGUAGES = ("ja", "en", "fr", "pl")


def prepare_store(config: Config, *, holds: bool = False) -> str:
    """Make or migrate the store, take back what an earlier life held, and return the instance's name.

    Args:
        holds: Hold the whole queue; what was held is said in the log.
    """

    async def prepare() -> str:
        store = SqliteStore(config.storage.path, create=True)
        try:
            await store.signing_keys()
            instance = await store.instance()
            await store.take_back(instance, datetime.now(UTC))
            if holds:
                log.warning("queue.held_at_start", count=await store.hold_all(datetime.now(UTC)))
            return instance
        finally:
            await store.aclose()

    return asyncio.run(prepare())


def _courier(config: Config) -> Courier:
    if config.outbox_folder is not None:
        return OutboxCourier(config.outbox_folder)
    return SmtpCourier([Smarthost.of(one) for one in config.outbound], hostname=config.hostname)


def _rulebook(config: Config, courier: Courier, crm: Crm, domains: PublicDomains, proof: SenderProof) -> Rulebook:
    return Rulebook(
        desk=config.desk(),
        rules=config.core_rules(compile_pattern),
        teams=config.teams,
        banners=BannerTemplates(config.banner_templates),
        prover=proof.prover,
        courier=courier,
        domains=domains,
        directory=crm.directory,
        words={language: _words(Catalogue(language)) for language in _LANGUAGES},
        sealer=open_sealer(config),
    )


def _words(catalogue: Catalogue) -> dict[str, str]:
    """Small words of the copies: who is not known for sure, and why this reader got it (``banner_details: full``)."""
    return {
        "unverified": catalogue.text("copy.unverified"),
        "reason.owner": catalogue.text("reason.owners.ticket_keeps_deal", deal="{deal}"),
        "reason.rule": catalogue.text("why.rule"),
        **{f"form.{name}": _form_word(catalogue, name) for name in _FORM_WORDS},
        **{f"reason.{fallback}": catalogue.text(f"fallback.{fallback}") for fallback in Fallback},
        **{f"guard.{word}": catalogue.text(f"guard.{word}") for word in GUARD_WORDS},
    }


# Words of a copy in another form (`flow.second`), and what is filled in there.
_FORM_WORDS = {
    "size": ("status",),
    "content": ("status",),
    "light": ("why",),
    "attached": ("why",),
    "notice": ("why",),
    "author": ("author",),
    "subject": ("subject",),
    "link": ("url",),
    "original": ("queue_id",),
}


def _form_word(catalogue: Catalogue, name: str) -> str:
    return catalogue.text(f"copy.form.{name}", **{given: f"{{{given}}}" for given in _FORM_WORDS[name]})


def check_rules(config: Config) -> None:
    """Decide every example mail that the rules carry, with the code that serves, and read the DKIM keys.

    Raises:
        ConfigError: An example comes out otherwise than its rule says, a banner that a rule names is missing, or a
            key cannot be used.
    """
    open_sealer(config)
    try:
        banners = BannerTemplates(config.banner_templates)
        domains = PublicDomains(config.free_mail)
        rulebook = Rulebook(
            desk=config.desk(),
            rules=config.core_rules(compile_pattern),
            teams=config.teams,
            banners=banners,
            prover=Prover(domains),
            courier=OutboxCourier(Path(os.devnull)),
            domains=domains,
            directory=None,  # type: ignore[arg-type]  # examples bring their own
        )
    except InputError as exc:
        raise ConfigError([f"{config.path}: {line}" for line in str(exc).splitlines()]) from exc
    problems = [
        f"{config.path}: rule {rule.name}: there is no banner {rule.then.banner!r}"
        for rule in rulebook.rules
        if rule.then.banner and not banners.has(rule.then.banner)
    ]
    problems += [f"{config.path}: {line}" for line in check_examples(rulebook.rules, example_decider(rulebook))]
    if problems:
        raise ConfigError(problems)


class Parts:
    """What a worker process, or a command without daemon, works with.

    Attributes:
        rulebook, intake: The current ones; `reload` swaps them between two messages.
    """

    def __init__(self, config: Config, store: SqliteStore, office: Office, courier: Courier) -> None:
        self.config = config
        self.store = store
        self.office = office
        self.courier = courier
        domains = PublicDomains(config.free_mail)
        self.crm = open_crm(config, store, domains, office.now)
        self._former_crms: list[Crm] = []
        self._proofs = [open_proof(config, domains)]  # the last one is in use, mail under way may still ask the others
        self.rulebook = _rulebook(config, courier, self.crm, domains, self._proofs[-1])
        self.intake = intake_of(config, store)
        self.certificates = certificates_of(config)

    async def reload(self, config: Config) -> None:
        """Use a new configuration; what needs a restart stays. Open sessions and begun messages are not touched.

        Raises:
            InputError: A template or certificate cannot be used; nothing was changed.
        """
        if crm_needs_restart(self.config, config):
            config = config.model_copy(update={"crm": self.config.crm})
        outbound_changed = config.outbound != self.config.outbound or config.hostname != self.config.hostname
        courier = _courier(config) if outbound_changed else self.courier
        domains = await asyncio.to_thread(PublicDomains, config.free_mail)
        crm_changed = (config.crm, config.free_mail) != (self.config.crm, self.config.free_mail)
        crm = open_crm(config, self.store, domains, self.office.now) if crm_changed else self.crm
        proof = open_proof(config, domains)
        rulebook = await asyncio.to_thread(_rulebook, config, courier, crm, domains, proof)
        await asyncio.to_thread(use_pairs, self.certificates, config)
        self.rulebook, self.intake, self.config = rulebook, intake_of(config, self.store), config
        self._proofs.append(proof)
        while len(self._proofs) > _PROOFS_KEPT:
            await self._proofs.pop(0).aclose()
        # Deliveries under way keep the old courier until they end; its pool closes by age.
        self.courier = courier
        if crm is not self.crm:
            # Mail under way may still ask the old one; it is closed with the process.
            former, self.crm = self.crm, crm
            self._former_crms.append(former)
            crm.start()
            await crm.reopen()
            # What was read by the old settings names owners who may get no mail any more.
            await former.stop()
            await crm.forget("")

    async def aclose(self) -> None:
        """Close what talks to the outside."""
        await self.courier.aclose()
        for proof in self._proofs:
            await proof.aclose()
        for crm in (*self._former_crms, self.crm):
            await crm.aclose()


def intake_of(config: Config, store: SqliteStore) -> Intake:
    """The door's rules."""
    gateways = [(network, gateway.authserv_id) for gateway in config.gateways for network in gateway.networks]
    return Intake(config.desk(), config.trusted_networks, gateways, store, store.health.refusal)


@asynccontextmanager
async def open_parts(config: Config, *, instance: str, holder: str, meter: Meter | None = None) -> AsyncIterator[Parts]:
    """Open the store and bring the parts together for one process; closes them at the end."""
    store = SqliteStore(config.storage.path)
    courier = _courier(config)
    holding: list[Parts] = []
    clock = _clock
    try:
        office = Office(
            store=store,
            rulebook=lambda: holding[0].rulebook,
            keys=tuple(await store.signing_keys()),
            instance=instance,
            holder=holder,
            now=clock,
            new_id=_queue_ids(clock),
            fraction=lambda: secrets.randbelow(1000) / 1000,
            lease=lambda: Lease(holder, clock() + _LEASE),
            meter=meter,
        )
        holding.append(Parts(config, store, office, courier))
        yield holding[0]
        await holding[0].aclose()
    finally:
        await store.aclose()


def _clock() -> datetime:
    return datetime.now(UTC)


_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base32: no i, l, o, u to misread
_PAIRS = tuple(first + second for first in _ALPHABET for second in _ALPHABET)


def _queue_ids(now: Callable[[], datetime]) -> Callable[[], str]:
    """Ids that sort by time: 9 characters of milliseconds and 7 random ones."""

    def new_id() -> str:
        number = (int(now().timestamp() * 1000) << 35) | secrets.randbits(35)
        return "".join([_PAIRS[(number >> shift) & 1023] for shift in range(70, -10, -10)])

    return new_id


def context_of(
    parts: Parts,
    *,
    wake: Callable[[], None],
    who: str,
    look_at: Callable[[Sequence[str]], Awaitable[None]] | None = None,
    resume: Callable[[], None] = lambda: None,
) -> OperationContext:
    """What commands work with.

    Args:
        look_at: Takes ids of tickets at the outside desk that are worth a look; None: nobody is there to look.
        resume: Has the outside desk asked again.
    """

    async def decide(octets: bytes, envelope: Envelope) -> Decision:
        peer = parts.intake.peer(envelope.peer.ip, envelope.peer.helo, envelope.peer.role, envelope.peer.tls)
        return await explain(parts.office, parts.rulebook, octets, replace(envelope, peer=peer))

    return OperationContext(
        store=parts.store,
        directory=parts.rulebook.directory,
        config=parts.config,
        desk=parts.rulebook.desk,
        now=_clock,
        wake=wake,
        who=who,
        decide=decide,
        forget_owners=parts.crm.forget,
        crm=parts.crm.tools,
        look_at=look_at or _looks_later,
        resume=resume,
    )


async def _looks_later(_external_ids: Sequence[str]) -> None:
    """The daemon will see it when it polls."""


@asynccontextmanager
async def open_offline(config: Config, *, who: str = "person:offline") -> AsyncIterator[OperationContext]:
    """What commands work with when no daemon runs. The store is made when it is missing."""
    config.state_folder.mkdir(parents=True, exist_ok=True)
    store = SqliteStore(config.storage.path, create=True)
    instance = await store.instance()
    await store.aclose()
    async with open_parts(config, instance=instance, holder=f"{instance}:offline:{os.getpid()}") as parts:
        yield context_of(parts, wake=lambda: None, who=who)
