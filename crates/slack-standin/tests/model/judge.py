"""Judges messages by two models that are not ours: a line of JSON for each message that comes as one.

A verdict says for each model why it refuses the message; null: it takes it; "unknown": it knows no such block."""

import json
import sys

import slack_sdk.models.blocks as sdk
import slackblocks as other


def by_sdk(message):
    nested = [part["blocks"] for part in message.get("attachments", []) if "blocks" in part]
    for blocks in [message.get("blocks", []), *nested]:
        for block, raw in zip(sdk.Block.parse_all(blocks), blocks):
            if block is None or type(block) is sdk.Block:
                return "unknown"
            # Checks it on the way.
            block.to_dict()
    return None


def text(raw):
    kind = {"plain_text": other.TextType.PLAINTEXT, "mrkdwn": other.TextType.MARKDOWN}[raw["type"]]
    return other.Text(raw["text"], type_=kind, emoji=raw.get("emoji", False), verbatim=raw.get("verbatim", False))


def button(raw):
    more = {key: raw[key] for key in ("action_id", "url", "value", "style") if key in raw}
    return other.Button(text(raw["text"]), **more)


def cell(raw):
    if raw["type"] == "raw_text":
        return other.RawText(raw["text"])
    if raw["type"] == "raw_number":
        return other.RawNumber(raw["value"], raw["text"])
    raise ValueError(raw["type"])


def section(raw, name):
    more = {}
    if "fields" in raw:
        more["fields"] = [text(field) for field in raw["fields"]]
    if "accessory" in raw:
        more["accessory"] = button(raw["accessory"])
    return other.SectionBlock(text(raw["text"]) if "text" in raw else None, block_id=name, **more)


def table(raw, name):
    columns = [other.ColumnSettings(align=column.get("align")) for column in raw.get("column_settings", [])]
    rows = [[cell(each) for each in row] for row in raw["rows"]]
    return other.TableBlock(rows, column_settings=columns, block_id=name)


def data_table(raw, name):
    more = {"page_size": raw["page_size"]} if "page_size" in raw else {}
    rows = [[cell(each) for each in row] for row in raw["rows"]]
    return other.DataTableBlock(rows, raw.get("caption"), block_id=name, **more)


BLOCKS = {
    "section": section,
    "table": table,
    "data_table": data_table,
    "header": lambda raw, name: other.HeaderBlock(text(raw["text"]), block_id=name),
    "context": lambda raw, name: other.ContextBlock([text(each) for each in raw["elements"]], block_id=name),
    "actions": lambda raw, name: other.ActionsBlock([button(each) for each in raw["elements"]], block_id=name),
    "divider": lambda raw, name: other.DividerBlock(block_id=name),
    "markdown": lambda raw, name: other.MarkdownBlock(raw["text"], block_id=name),
}


def by_slackblocks(message):
    def block(raw):
        return BLOCKS[raw["type"]](raw, raw.get("block_id"))

    attachments = [
        other.Attachment([block(raw) for raw in part["blocks"]], color=part.get("color"))
        for part in message.get("attachments", [])
    ]
    blocks = [block(raw) for raw in message.get("blocks", [])]
    other.Message("C1", message.get("text", ""), blocks=blocks, attachments=attachments).to_dict()
    return None


def verdict(judge, message):
    try:
        return judge(message)
    except Exception as error:
        return f"{type(error).__name__}: {error}"[:200]


for line in sys.stdin:
    message = json.loads(line)
    print(json.dumps([verdict(by_sdk, message), verdict(by_slackblocks, message)]), flush=True)
