"""The conversation as values: items, their order, and the functions that a model may call."""

from repartee.chat.context import ChatContext
from repartee.chat.items import (
    AudioContent,
    Content,
    FunctionCall,
    FunctionCallOutput,
    ImageContent,
    Item,
    Message,
    Role,
    TextContent,
    new_id,
)
from repartee.chat.tools import (
    FunctionTool,
    RunContext,
    ToolChoice,
    function_tool,
    result_text,
    tool_table,
)

__all__ = [
    "AudioContent",
    "ChatContext",
    "Content",
    "FunctionCall",
    "FunctionCallOutput",
    "FunctionTool",
    "ImageContent",
    "Item",
    "Message",
    "Role",
    "RunContext",
    "TextContent",
    "ToolChoice",
    "function_tool",
    "new_id",
    "result_text",
    "tool_table",
]
