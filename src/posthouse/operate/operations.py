"""Every request that commands make, once: its name, what it takes and what it answers.

Shape: an `Operation` ties a name to two shapes. ``operate.control`` makes a route of each, ``operate.client`` calls it,
``operate.services`` carries it out. Handing in a message is the one request that is none: its octets are not JSON.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from posthouse.operate import account_shapes as a
from posthouse.operate import identity_shapes as i
from posthouse.operate import shapes as s
from posthouse.operate.budget_shapes import BudgetRows
from posthouse.operate.node_shapes import NodeStatus, Reloaded
from posthouse.operate.other_half_shapes import OtherHalves

RequestT = TypeVar("RequestT")
AnswerT = TypeVar("AnswerT")


@dataclass(frozen=True, slots=True)
class Operation(Generic[RequestT, AnswerT]):
    """One request.

    Attributes:
        name: ``area/verb``; the path of its route is ``/v1/area/verb``.
        summary: For the API's documentation.
    """

    name: str
    request: type[RequestT]
    answer: type[AnswerT]
    summary: str


Handler = Callable[[RequestT, str], Awaitable[AnswerT | s.Refusal]]
"""Carries out an operation for somebody (second argument: login name on this machine)."""

NODE_STATUS = Operation("node/status", s.Nothing, NodeStatus, "What the node is doing")
NODE_RELOAD = Operation("node/reload", s.Nothing, Reloaded, "Read configuration and certificates again")
NODE_METRICS = Operation("node/metrics", s.Nothing, i.MetricsText, "Metrics in Prometheus' text format")

QUEUE_LIST = Operation("queue/list", s.QueueSelection, s.QueueRows, "Waiting copies, oldest first")
QUEUE_HOPS = Operation("queue/hops", s.Nothing, s.HopRows, "Waiting lines")
QUEUE_CHANGE = Operation("queue/change", s.QueueAction, s.QueueChanged, "Hold, release, retry or cancel copies")
QUEUE_BUDGETS = Operation("queue/budgets", s.Nothing, BudgetRows, "What is used of each limit, and a forecast")

TRACE_SEARCH = Operation("trace/search", s.TraceSelection, s.TraceLines, "Search the message trace")
TRACE_SHOW = Operation("trace/show", s.Named, s.StoryView, "The story of one message")
TRACE_MICROSOFT = Operation("trace/microsoft", s.Named, OtherHalves, "Microsoft's half of the story of one message")
TRACE_DOOR = Operation("trace/door", s.DoorSelection, s.DoorEvents, "Refusals and log-ins, newest first")
TRACE_FOLLOW = Operation("trace/follow", s.FollowRequest, s.FollowedEvents, "Events as they are written")

ACCOUNT_LIST = Operation("account/list", s.Nothing, a.AccountViews, "Accounts")
ACCOUNT_ADD = Operation("account/add", a.NewAccount, a.AccountView, "Make an account")
ACCOUNT_PASSWORD = Operation("account/password", a.PasswordChange, a.AccountView, "Set a password")
ACCOUNT_SWITCH = Operation("account/switch", a.AccountSwitch, a.AccountView, "Enable or disable an account")
ACCOUNT_SENDERS = Operation("account/senders", a.AccountSenders, a.AccountView, "Set the allowed senders")
ACCOUNT_REMOVE = Operation("account/remove", s.Named, s.Nothing, "Remove an account and its app passwords")
APP_PASSWORD_ADD = Operation("app-password/add", a.DevicePassword, a.NewAppPassword, "Make a password for one device")
APP_PASSWORD_REVOKE = Operation("app-password/revoke", a.DevicePassword, s.Nothing, "Revoke a device's password")

SECRET_LIST = Operation("secret/list", s.Nothing, a.SecretViews, "Names of kept secrets")
SECRET_SET = Operation("secret/set", a.NewSecret, s.Nothing, "Keep a secret, encrypted")
SECRET_REMOVE = Operation("secret/remove", s.Named, s.Nothing, "Forget a secret")

IDENTITY_LIST = Operation("identity/list", s.Nothing, i.IdentityViews, "Identities, and accounts that rest")
IDENTITY_SIGN_IN = Operation("identity/sign-in", i.SignInRequest, i.SignInBegun, "Begin a person's sign-in")
IDENTITY_LOOK = Operation("identity/look", i.SignInLook, i.SignInLooked, "Look whether the person is done")
IDENTITY_TEST = Operation("identity/test", s.Named, i.IdentityTested, "Get fresh tokens and tell what they say")
IDENTITY_RESUME = Operation("identity/resume", i.ResumeRequest, i.Resumed, "End pauses")
IDENTITY_ROTATE = Operation("identity/rotate", i.RotateRequest, i.RotatedView, "Make a certificate, or use it")
IDENTITY_STEPS = Operation("identity/steps", s.Named, i.Steps, "What a person does in Entra and Exchange")

FLOW_SHOW = Operation("flow/show", a.RevisionRequest, a.RevisionView, "One revision of the mail flow")
FLOW_HISTORY = Operation("flow/history", s.Nothing, a.RevisionViews, "Revisions, newest first")
FLOW_APPLY = Operation("flow/apply", a.FlowApply, a.FlowApplied, "Put a mail flow into use")
