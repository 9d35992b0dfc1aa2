"""Webhooks and chats, from a shell: set up, tried, and what was sent there."""

import click

from farebox.cli.context import (
    CommandContext,
    add_json_option,
    answer,
    command,
    guarded,
    merchant_id_or_none,
    short_time,
    table,
)
from farebox.core import ids
from farebox.presenters.destinations import (
    CHANNELS,
    STATE_WORDS,
    attempt_data,
    destination_data,
    destination_words,
    last_error,
    new_destination_data,
    sent_data,
    tested_data,
)
from farebox.presenters.event_words import EVENT_WORDS
from farebox.service import inputs
from farebox.service.errors import InvalidInput
from farebox.service.event_types import offered_types
from farebox.service.people.destinations import (
    OVERLAP_SECONDS_DEFAULT,
    SENT_ROWS_MAX,
    Destination,
    NewDestination,
)


@click.group("webhook")
def webhook_group() -> None:
    """Webhooks and chats: where a server, or a channel of people, is told what happens."""


@command("add", group=webhook_group)
@click.argument("url")
@click.option("--merchant", help="Whose; without it, the operator's own, told of all merchants.")
@click.option("--chat", "is_chat", is_flag=True, help="URL is a chat, as Apprise writes it: slack://..., tgram://...")
@click.option("--name", default="", help="What to call it.")
@click.option("--event", multiple=True, help="What is sent there, such as balance.low; all, without it.")
@click.option("--secret", default="", help="What the receiver has already: whsec_... Without it one is made.")
async def webhook_add(
    context: CommandContext,
    url: str,
    merchant: str | None,
    is_chat: bool,
    name: str,
    event: tuple[str, ...],
    secret: str,
) -> None:
    """Add a webhook or a chat, and print the secret that a webhook is signed with, this once."""
    whose = merchant_id_or_none(merchant)
    made = await context.farebox.services.destinations.add(
        whose,
        CHANNELS["chat" if is_chat else "webhook"],
        url,
        types=event or offered_types(is_operator=whose is None),
        name=name,
        secret=secret,
        principal=context.principal,
    )
    _answer_new(context, made)


@command("list", group=webhook_group)
@click.option("--merchant", help="Whose; without it, the operator's own.")
async def webhook_list(context: CommandContext, merchant: str | None) -> None:
    """List webhooks and chats."""
    destinations = await context.farebox.services.destinations.list(merchant_id_or_none(merchant))
    context.answer(
        [destination_data(each) for each in destinations],
        table(("id", "kind", "state", "name", "where"), destination_words(destinations))
        or ["There is none; add one with: farebox webhook add URL"],
    )


@webhook_group.command("events")
def webhook_events(*, is_json: bool) -> None:
    """List the events that there are; needs no database and no settings."""
    lines = table(("event", "what happened"), list(EVENT_WORDS.items()))
    guarded(lambda: answer(dict(EVENT_WORDS), lines, is_json=is_json), is_json=is_json)


add_json_option(webhook_events)


@command("set", group=webhook_group)
@click.argument("destination_id")
@click.option("--name", help="What to call it.")
@click.option("--url", help="Where it leads from now on.")
@click.option("--event", multiple=True, help="What is sent there, all of it.")
@click.option("--on/--off", "is_on", default=None, help="On, whatever turned it off; or off.")
async def webhook_set(
    context: CommandContext,
    destination_id: str,
    name: str | None,
    url: str | None,
    event: tuple[str, ...],
    is_on: bool | None,
) -> None:
    """Change a webhook or a chat, or turn it on or off."""
    destinations = context.farebox.services.destinations
    destination = await destinations.change(
        await _named(context, destination_id), name=name, url=url, types=event or None, principal=context.principal
    )
    if is_on is not None:
        destination = await destinations.set_on(destination, is_on=is_on, principal=context.principal)
    context.answer(destination_data(destination), f"{destination.name} is {STATE_WORDS[destination.state]}.")


@command("secret", group=webhook_group)
@click.argument("destination_id")
@click.option("--overlap-hours", type=int, default=OVERLAP_SECONDS_DEFAULT // 3600, show_default=True)
@click.option("--secret", default="", help="What the receiver has already: whsec_... Without it one is made.")
async def webhook_secret(context: CommandContext, destination_id: str, overlap_hours: int, secret: str) -> None:
    """Give a webhook another secret, and print it, this once; messages are signed with both for some hours."""
    made = await context.farebox.services.destinations.rotate_secret(
        await _named(context, destination_id),
        overlap_seconds=overlap_hours * 3600,
        secret=secret,
        principal=context.principal,
    )
    _answer_new(context, made)


@command("test", group=webhook_group)
@click.argument("destination_id")
async def webhook_test(context: CommandContext, destination_id: str) -> None:
    """Send a test now, and print what came of it."""
    tested = await context.farebox.services.destinations.send_test(
        await _named(context, destination_id), principal=context.principal
    )
    status = "no answer" if tested.status is None else str(tested.status)
    words = "It was taken" if tested.is_delivered else "It was not taken"
    context.answer(tested_data(tested), f"{words}, in {round(tested.took / 1000)} ms: {status} {tested.text}".rstrip())


@command("sent", group=webhook_group)
@click.argument("destination_id")
@click.option("--limit", type=click.IntRange(1, SENT_ROWS_MAX), default=50, show_default=True)
async def webhook_sent(context: CommandContext, destination_id: str, limit: int) -> None:
    """List what was sent there, newest first, and what was answered."""
    destinations = context.farebox.services.destinations
    sent = await destinations.sent(await _named(context, destination_id), limit=limit)
    told = [sent_data(each) for each in sent]
    rows = [
        (
            data.event_id,
            data.type,
            short_time(each.delivery.alert.fired_at),
            data.state,
            last_error(each.delivery, each.attempt),
        )
        for data, each in zip(told, sent, strict=True)
    ]
    context.answer(
        told,
        table(("event", "what", "happened (UTC)", "state", "last answer"), rows) or ["Nothing was sent there yet."],
    )


@command("attempts", group=webhook_group)
@click.argument("destination_id")
@click.argument("event_id")
async def webhook_attempts(context: CommandContext, destination_id: str, event_id: str) -> None:
    """List the attempts to send one event, the last first."""
    destination = await _named(context, destination_id)
    _, attempts = await context.farebox.services.destinations.delivery(
        destination, *inputs.event_id("EVENT_ID", event_id)
    )
    told = [attempt_data(each) for each in attempts]
    rows = [
        (
            str(each.number),
            short_time(each.at),
            f"{round(each.took / 1000)} ms",
            "none" if each.status is None else str(each.status),
            each.answer,
        )
        for each in attempts
    ]
    context.answer(
        told, table(("number", "at (UTC)", "took", "status", "answer"), rows) or ["No attempt is remembered."]
    )


@command("replay", group=webhook_group)
@click.argument("destination_id")
@click.argument("event_id", required=False)
@click.option("--since", help="From this time on, such as 2026-11-01T00:00:00Z.")
@click.option("--until", help="Before this time.")
@click.option("--all", "is_all", is_flag=True, help="Also what it took, not only what it missed.")
async def webhook_replay(
    context: CommandContext,
    destination_id: str,
    event_id: str | None,
    since: str | None,
    until: str | None,
    is_all: bool,
) -> None:
    """Send one event once more, or what happened in a time; each keeps its id."""
    destination, destinations = await _named(context, destination_id), context.farebox.services.destinations
    if event_id is not None:
        delivery, _ = await destinations.delivery(destination, *inputs.event_id("EVENT_ID", event_id))
        await destinations.replay(destination, delivery, principal=context.principal)
        count = 1
    elif since is None or until is None:
        raise InvalidInput("EVENT_ID", "name an event, or a time by --since and --until")
    else:
        count = await destinations.replay_range(
            destination, since=since, until=until, is_all=is_all, principal=context.principal
        )
    context.answer({"events": count}, f"{count} {'event is' if count == 1 else 'events are'} on the way once more.")


@command("delete", group=webhook_group)
@click.argument("destination_id")
async def webhook_delete(context: CommandContext, destination_id: str) -> None:
    """Delete a webhook or a chat; nothing is sent there any more."""
    destination = await _named(context, destination_id)
    await context.farebox.services.destinations.delete(destination, principal=context.principal)
    context.answer(destination_data(destination), f"{destination.name} is deleted.")


async def _named(context: CommandContext, text: str) -> Destination:
    number = inputs.public_id("DESTINATION_ID", ids.DESTINATION, text)
    return await context.farebox.services.destinations.get(number)


def _answer_new(context: CommandContext, made: NewDestination) -> None:
    destination = made.destination
    lines = [f"{destination.name} is {destination.id}, and leads to {destination.url}"]
    if made.secret:
        lines += [f"secret  {made.secret}", "It is shown this once: your receiver checks signatures with it."]
    context.answer(new_destination_data(made), lines)
