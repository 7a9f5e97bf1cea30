"""A simulated device: how Apple's MDM client behaves towards any server, step by step or by itself."""

from __future__ import annotations

import plistlib
import random
import secrets
import uuid

from bramley.clock import Clock
from bramley.sandbox import signature
from bramley.sandbox.apns.courier import Courier
from bramley.sandbox.device import messages, running
from bramley.sandbox.device.behaviour import Behaviour
from bramley.sandbox.device.channel import Answered, Channel
from bramley.sandbox.device.commands import Knowledge
from bramley.sandbox.device.condition import Condition
from bramley.sandbox.device.execution import NEVER_NOT_NOW, After, Outcome, execute
from bramley.sandbox.device.filevault import FileVault
from bramley.sandbox.device.holdings import Holdings, require_enrollment
from bramley.sandbox.device.identity import DeviceIdentity, UserAccount
from bramley.sandbox.device.messages import Message
from bramley.sandbox.device.profile import MDMSettings, Profile, open_profile
from bramley.sandbox.device.transport import Answer, Call, Transport, at_listener
from bramley.sandbox.errors import SandboxError, Unenrolled
from bramley.sandbox.signature import Identity, SignatureStyle


class SimulatedDevice:
    """One device, enrolled with one server at a time. One task at a time may use it."""

    def __init__(
        self,
        device: DeviceIdentity,
        clock: Clock,
        *,
        behaviour: Behaviour | None = None,
        courier: Courier | None = None,
        seed: int | None = None,
    ) -> None:
        self.device = device
        self.behaviour = behaviour or Behaviour()
        self.courier = courier
        self.transport = Transport(
            self.behaviour.anchors, clock, patience=self.behaviour.patience, own_time=self.behaviour.own_time
        )
        self._clock = clock
        self.holdings = self._holdings()
        self.channels: dict[UserAccount | None, Channel] = {}
        self.history: list[Answered] = []
        self.unenrolled_because: str | None = None
        self.locked = False
        self.wiped = False
        # chance for a simulation, not for secrets
        self._random = random.Random(device.udid if seed is None else seed)  # noqa: S311
        self.filevault = FileVault(random.Random(device.udid))  # noqa: S311
        tells_none = device.is_mac or self.behaviour.user_enrollment
        self.condition = Condition(unlock_token=None if tells_none else random.Random(device.udid).randbytes(32))  # noqa: S311

    @property
    def identity(self) -> Identity | None:
        """The certificate and key in use."""
        return self.holdings.identity

    @property
    def mdm(self) -> MDMSettings:
        """The management settings in force. Raises Unenrolled."""
        return self.holdings.mdm

    @property
    def enrolled(self) -> bool:
        """Whether it holds an enrollment profile and an identity."""
        return self.holdings.enrolled

    # Enrolling, step by step

    async def enroll(self, url: str) -> None:
        """All of it: profile, identity, Authenticate, TokenUpdate for the device and for each of its users.

        A Mac that a person enrolls opens no user channels where the profile is of the scope System, nor where the server does
        not say that it serves them (micromdm#766; Apple, "MDM": ServerCapabilities).
        """
        await self.fetch_profile(url)
        await self.obtain_identity()
        await self.authenticate()
        await self.token_update()
        system = self.holdings.enrollment.content.get("PayloadScope") == "System"
        for user in self.behaviour.users if self.mdm.per_user_connections and not system else ():
            await self.token_update(user)

    async def fetch_profile(self, url: str) -> Profile:
        """Downloads an enrollment profile, checks its signature against the anchors, and installs it with its trust."""
        answer = await self.transport.deliver(Call("GET", url))
        profile = self._open(answer.body, allow_unsigned=self.behaviour.allow_unsigned)
        require_enrollment(profile)
        await self.holdings.install(profile)
        return profile

    async def obtain_identity(self) -> Identity:
        """As the enrollment profile says: makes a key and gets a certificate for it by SCEP, or takes what came along."""
        _, settings = require_enrollment(self.holdings.enrollment)
        self.holdings.identity = await self.holdings.take_identity(settings, self.behaviour.hardware_key)
        return self.holdings.identity

    async def authenticate(self, identity: Identity | None = None) -> None:
        """Sends Authenticate, with another identity than the one in use if one is given."""
        user_enrollment = self.behaviour.user_enrollment
        message = messages.authenticate(self.sender(), self.device, self.mdm.topic, user_enrollment=user_enrollment)
        await self.check_in(message, identity)

    async def token_update(self, user: UserAccount | None = None, identity: Identity | None = None) -> None:
        """Sends TokenUpdate for the device or a user of it, with a push token and magic that it then keeps."""
        channel = self.channels.get(user)
        if channel is None:
            topic = self.mdm.topic
            token = secrets.token_bytes(32) if self.courier is None else await self.courier.register(topic)
            holdings = self.holdings if user is None else self._holdings(for_user=True)
            channel = self.channels[user] = Channel(user, token, str(uuid.uuid4()).upper(), holdings)
        unlock_token = self.condition.unlock_token if user is None else None
        message = messages.token_update(
            self.sender(user), self.mdm.topic, channel.token, channel.push_magic, unlock_token=unlock_token
        )
        await self.check_in(message, identity)

    # Being managed

    async def check_in(self, message: Message, identity: Identity | None = None) -> Answer:
        """Sends any check-in message until the server takes it."""
        return await self._deliver(self.mdm.check_in_url, messages.CHECK_IN_TYPE, message, identity)

    async def connect(self, user: UserAccount | None = None) -> int:
        """One session: the answer still owed, or Idle, then each command until the server has no more.

        The number of commands dealt with. An answer that the server does not take is kept and comes first next time.
        """
        channel = self.channels[user]
        channel.come_back = False
        count = 0
        while True:
            message, after = channel.owed or (messages.idle(self.sender(user)), None)
            answer = await self._deliver(self.mdm.server_url, messages.CONNECT_TYPE, message)
            channel.owed = None
            if after is not None:
                await self._follow_up(after)
                return count
            if not answer.body:
                return count
            channel.owed = await self._carry_out(answer.body, channel)
            count += 1

    async def run(self) -> None:
        """Waits for pushes and connects, until cancelled or no longer enrolled."""
        await running.run(self)

    async def check_out(self) -> None:
        """Leaves management as when a person removes the profile: CheckOut, then nothing is left."""
        await self.check_in(messages.check_out(self.sender(), self.mdm.topic))
        await self._leave("checked out")

    async def set_bootstrap_token(self, token: bytes | None) -> None:
        """Escrows a bootstrap token; None has the server delete it."""
        await self.check_in(messages.set_bootstrap_token(self.sender(), token))

    async def get_bootstrap_token(self) -> bytes | None:
        """The escrowed bootstrap token; None where the server has none."""
        answer = await self.check_in(messages.get_bootstrap_token(self.sender()))
        said = plistlib.loads(answer.body) if answer.body else {}
        token: bytes | None = said.get("BootstrapToken")
        return token or None

    async def close(self) -> None:
        """Ends its connections; the device itself stays as it is."""
        await self.transport.close()

    def sender(self, user: UserAccount | None = None) -> Message:
        """The keys by which it names itself."""
        return messages.sender(self.device, user_enrollment=self.behaviour.user_enrollment, user=user)

    # Inside

    def _open(self, data: bytes, *, allow_unsigned: bool = True) -> Profile:
        return open_profile(
            data,
            anchors=self.transport.anchors,
            now=self._clock.now(),
            allow_unsigned=allow_unsigned,
            identities=self.holdings.identities,
        )

    async def _deliver(self, url: str, content_type: str, message: Message, identity: Identity | None = None) -> Answer:
        """Signs and delivers a message; a server that sends the device away is obeyed, and the reason kept."""
        signer = identity or self.identity
        if signer is None:
            raise Unenrolled("The device has no identity.", advice="Call obtain_identity first.")
        style, body = self.behaviour.style, messages.encode(message)
        if style is SignatureStyle.TLS:
            await self.transport.present(signer)
            url = at_listener(url, self.behaviour.tls_base)
        headers = signature.header(body, signer, style, now=self._clock.now())
        pins = self.mdm.check_in_pins if content_type == messages.CHECK_IN_TYPE else self.mdm.server_pins
        try:
            return await self.transport.deliver(Call("PUT", url, body, content_type, headers, pins))
        except Unenrolled as error:
            await self._leave(error.message)
            raise

    async def _carry_out(self, body: bytes, channel: Channel) -> tuple[Message, After | None]:
        command_uuid, command = messages.decode_command(body)
        request_type = str(command.get("RequestType"))
        if request_type not in NEVER_NOT_NOW and self._random.random() < self.behaviour.not_now_rate:
            outcome = Outcome("NotNow")
            channel.come_back = True
        else:
            outcome = await execute(
                command,
                holdings=channel.holdings,
                knowledge=self._knowledge(channel),
                renew=self._renew,
                open_with=self._open,
            )
            self.locked = self.locked or (request_type == "DeviceLock" and outcome.status == "Acknowledged")
        self.history.append(Answered(command_uuid, request_type, outcome.status))
        return messages.report(self.sender(channel.user), command_uuid, outcome.status, outcome.result), outcome.after

    def _holdings(self, *, for_user: bool = False) -> Holdings:
        return Holdings(self.transport, self._clock, legacy_scep=self.behaviour.legacy_scep, for_user=for_user)

    def _knowledge(self, channel: Channel) -> Knowledge:
        holdings = channel.holdings
        return Knowledge(
            self.device,
            [each.certificate for each in holdings.identities],
            holdings.anchors,
            list(holdings.profiles.values()),
            self.behaviour.user_enrollment,
            self.filevault,
            self.condition,
            user_channel=channel.user is not None,
        )

    async def _renew(self, profile: Profile) -> None:
        """A replaced enrollment profile: a new identity, then Authenticate and TokenUpdate signed with it.

        The old identity stays in use until the server has taken both, and is dropped then: the answer to InstallProfile
        is signed with the new one. Whether Apple's client switches before or after that answer is not documented.
        """
        mdm, settings = require_enrollment(profile)
        self.mdm.require_same_enrollment(mdm)
        identity = await self.holdings.take_identity_for_command(settings, self.behaviour.hardware_key)
        await self.authenticate(identity)
        for user in list(self.channels):
            await self.token_update(user, identity)
        self.holdings.identity = identity
        await self.holdings.install(profile)

    async def _follow_up(self, after: After) -> None:
        if after is After.WIPE:
            self.wiped = True
            self.filevault.erase()
            await self._leave("wiped")
            return
        if self.mdm.check_out_when_removed:
            try:
                await self.check_in(messages.check_out(self.sender(), self.mdm.topic))
            except SandboxError:
                # CheckOut is best effort (Apple, "Check-out"): nothing holds up the removal
                self.unenrolled_because = "removed, and CheckOut was not taken"
        if self.enrolled:
            await self._leave(self.unenrolled_because or "the server removed the enrollment profile")

    async def _leave(self, why: str) -> None:
        """Forgets the enrollment and all that came with it; the push tokens die."""
        self.unenrolled_because = why
        channels, self.channels = self.channels, {}
        await self.holdings.forget()
        await self.transport.present(None)
        if self.courier is not None:
            for channel in channels.values():
                await self.courier.unregister(channel.token)
