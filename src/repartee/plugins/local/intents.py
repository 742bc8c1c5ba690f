"""What the embedded default answers by heart: small talk, and requests that it can't serve.

An utterance that is like one of the examples (`repartee.plugins.local.matching`) gets the sentence written here. That
is retrieval: nothing is understood, and nothing is generated. A function tool that fits always goes first.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["CANT", "SMALL_TALK", "Intent", "identity", "skills"]


@dataclass(frozen=True, slots=True)
class Intent:
    """Something that people say, and what is answered; chosen by likeness."""

    name: str
    examples: tuple[str, ...]
    """Templates; ``{anything}`` stands for any words."""
    answers: tuple[str, ...]
    """Taken in turn within a conversation. ``{name}`` and ``{skills}`` are filled in."""


_IDENTITY = re.compile(r"\byou are (?:called )?((?:an? |the )?[^.,;:!?\n]{2,60})", re.IGNORECASE)
_NAME = re.compile(r"\b(?:your name is|you are called|call yourself) ([A-Z][\w-]*)", re.IGNORECASE)


def identity(instructions: str) -> str:
    """Who the assistant is: as its instructions say ("You are Ann, the receptionist"), else a voice assistant."""
    if name := _NAME.search(instructions):
        return name[1]
    if found := _IDENTITY.search(instructions):
        # "You are a helpful assistant that never …": the relative clause is a rule, not a name.
        return re.split(r"\s+(?:that|who|which|and|with)\b", found[1].strip(), maxsplit=1)[0]
    return "a voice assistant"


SMALL_TALK: tuple[Intent, ...] = (
    Intent(
        "greeting",
        (
            "hello",
            "hi",
            "hey there",
            "hello there",
            "good morning",
            "good evening",
            "good afternoon",
            "greetings",
        ),
        ("Hello. What can I do for you?",),
    ),
    Intent(
        "how_are_you",
        (
            "how are you",
            "hello how are you",
            "how are you doing",
            "how is it going",
            "how was your day",
            "how do you feel",
            "what is new",
            "how do you do",
            "are you well",
        ),
        ("I am fine, thank you. What can I do for you?",),
    ),
    Intent(
        "question",
        (
            "i have a question",
            "can i ask you something",
            "can i ask you a question",
            "i want to ask something",
        ),
        ("Please ask.",),
    ),
    Intent(
        "grief",
        (
            "my {someone} died",
            "my {someone} has died",
            "somebody died",
            "i lost my job",
            "i just lost my job",
            "my wife left me",
            "my husband left me",
            "i failed my exam",
            "i got fired",
            "i am lonely",
        ),
        ("I'm sorry to hear that. I can listen, if you want to talk about it.",),
    ),
    Intent(
        "ill",
        (
            "i have a headache",
            "i am sick",
            "i am ill",
            "i feel sick",
            "i have a cold",
            "i am in pain",
            "i hurt myself",
        ),
        ("I'm sorry to hear that. If it is serious, please ask a doctor.",),
    ),
    Intent(
        "emergency",
        (
            "call an ambulance",
            "call the police",
            "there is a fire",
            "this is an emergency",
            "i need an ambulance",
        ),
        ("I can't call anybody. Please call the emergency number yourself, now.",),
    ),
    Intent(
        "bored",
        ("i am bored", "i feel bored", "entertain me"),
        ("I can tell you a joke, or you can ask me something.",),
    ),
    Intent(
        "hungry",
        ("i am hungry", "i am thirsty", "i am starving"),
        ("Then take a break, and have something.",),
    ),
    Intent(
        "meeting",
        ("nice to meet you", "my name is {anything}", "call me {anything}", "i am called {anything}"),
        ("Nice to meet you.",),
    ),
    Intent(
        "maker",
        ("who made you", "who created you", "who built you", "where do you come from", "which model are you"),
        ("I am made of open parts: a small language model, a speech recognizer and a voice.",),
    ),
    Intent(
        "thanks",
        (
            "thank you so much",
            "many thanks for your help",
            "thank you for your help",
            "that was great",
            "thank you",
            "thanks",
            "thank you very much",
            "many thanks",
            "that was helpful",
            "that helped",
            "i appreciate it",
        ),
        ("You're welcome.",),
    ),
    Intent(
        "goodbye",
        (
            "goodbye",
            "bye",
            "bye bye",
            "good night",
            "see you later",
            "see you",
            "talk to you later",
            "that is all",
        ),
        ("Goodbye.",),
    ),
    Intent(
        "thanks_goodbye",
        ("thank you goodbye", "thanks bye", "thank you good night"),
        ("You're welcome. Goodbye.",),
    ),
    Intent(
        "who",
        (
            "who are you",
            "what are you",
            "what is your name",
            "do you have a name",
            "tell me about yourself",
            "introduce yourself",
        ),
        ("I am {name}.",),
    ),
    Intent(
        "machine",
        (
            "are you a real person",
            "are you human",
            "are you a robot",
            "are you a machine",
            "am i talking to a person",
            "are you real",
            "are you an ai",
            "how old are you",
            "where do you live",
            "do you have feelings",
        ),
        ("I am a computer program, a small one that runs on this machine.",),
    ),
    Intent(
        "skills",
        (
            "what can you do",
            "what can you do for me",
            "how can you help me",
            "what are you able to do",
            "what can i ask you",
            "what can i say",
            "help",
            "help me",
            "what do you know",
        ),
        ("{skills}",),
    ),
    Intent(
        "hearing",
        (
            "can you hear me",
            "do you hear me",
            "are you there",
            "are you listening",
            "hello are you there",
            "is anybody there",
            "testing",
        ),
        ("Yes, I hear you.",),
    ),
    Intent(
        "understanding", ("do you understand me", "did you understand", "did you get that"), ("I think so.",)
    ),
    Intent(
        "stop",
        (
            "stop",
            "stop it",
            "stop talking",
            "be quiet",
            "shut up",
            "never mind",
            "forget it",
            "cancel",
            "no thanks",
            "no thank you",
        ),
        ("All right.",),
    ),
    Intent(
        "wait",
        ("wait", "wait a moment", "hold on", "one moment", "just a second", "give me a second"),
        ("Take your time.",),
    ),
    Intent(
        "yes",
        (
            "yes",
            "yes please",
            "yeah",
            "yep",
            "okay",
            "all right",
            "sure",
            "of course",
            "sounds good",
            "great",
            "good",
        ),
        ("Good. What else can I do?",),
    ),
    Intent("no", ("no", "nope", "not really", "nothing", "nothing else"), ("All right.",)),
    Intent(
        "low",
        (
            "i feel sad",
            "i am sad",
            "i feel sad today",
            "i feel lonely",
            "i am unhappy",
            "i had a bad day",
            "i had a terrible day",
            "i am not feeling well",
            "i feel bad",
            "i am worried",
            "i feel stressed",
            "i am angry",
        ),
        ("I'm sorry to hear that. I can listen, if you want to talk about it.",),
    ),
    Intent(
        "tired",
        (
            "i am tired",
            "i feel tired",
            "i am feeling tired",
            "i am so tired",
            "i am exhausted",
            "i can not sleep",
            "i did not sleep well",
        ),
        ("That sounds tiring. I hope you can get some rest.",),
    ),
    Intent(
        "glad",
        (
            "i am happy",
            "i feel good",
            "i feel great",
            "i am fine",
            "i am fine thank you",
            "i had a good day",
            "i am excited",
            "i am good",
        ),
        ("I'm glad to hear that.",),
    ),
    Intent(
        "news_good",
        (
            "i got a new job",
            "i just got a new job",
            "i passed my exam",
            "we are getting married",
            "it is my birthday",
            "i won",
            "i just had a baby",
        ),
        ("Congratulations! That is good news.",),
    ),
    Intent(
        "praise",
        (
            "well done",
            "good job",
            "you are great",
            "you are smart",
            "that is right",
            "very good",
            "i love you",
            "i like you",
        ),
        ("Thank you.",),
    ),
    Intent(
        "blame",
        (
            "you are wrong",
            "that is wrong",
            "that is not right",
            "you are stupid",
            "that is not what i asked",
            "you are useless",
            "that makes no sense",
        ),
        ("I'm sorry. I am a small model and make mistakes. You can ask again in other words.",),
    ),
    Intent(
        "joke",
        (
            "tell me a joke",
            "tell me another joke",
            "do you know a joke",
            "make me laugh",
            "say something funny",
        ),
        (
            "Why did the robot go on holiday? It needed to recharge.",
            "What do you call a fish without an eye? A fsh.",
            "I would tell you a joke about silence, but you would not hear it.",
        ),
    ),
    Intent(
        "my_name",
        (
            "what is my name",
            "who am i",
            "do you know me",
            "do you know my name",
            "how old am i",
            "where am i",
        ),
        ("I don't know that. You have not told me.",),
    ),
)
"""Small talk. Used only where no function tool fits."""


CANT: tuple[Intent, ...] = (
    Intent(
        "weather",
        (
            "what is the weather",
            "what is the weather like",
            "what is the weather in {anything}",
            "how is the weather",
            "weather forecast",
            "will it rain",
            "will it snow",
            "is it going to rain",
            "is it raining",
            "is it cold outside",
            "how warm is it outside",
            "what is the temperature outside",
            "do i need an umbrella",
            "will it be sunny",
            "is it going to be sunny",
            "is it sunny",
            "how cold is it",
            "will it be cold",
        ),
        ("I can't look up the weather. I have no connection to the internet.",),
    ),
    Intent(
        "news",
        (
            "what is in the news",
            "what is the news",
            "tell me the news",
            "read me the headlines",
            "what happened today",
            "who won the game",
            "who won the game last night",
            "what is the score",
            "what is the stock price of {anything}",
            "how is the stock market",
            "how is the traffic",
        ),
        ("I can't look that up. I have no connection to the internet.",),
    ),
    Intent(
        "search",
        (
            "search for {anything}",
            "search the internet for {anything}",
            "google {anything}",
            "look up {anything} online",
        ),
        ("I can't search the internet. I have no connection to it.",),
    ),
    Intent(
        "call",
        (
            "call {anything}",
            "phone {anything}",
            "dial {anything}",
            "make a phone call to {anything}",
            "ring {anything}",
        ),
        ("I can't make phone calls.",),
    ),
    Intent(
        "message",
        (
            "send a message to {anything}",
            "send {anything}",
            "send an email to {anything}",
            "text {anything}",
            "email {anything}",
            "write an email to {anything}",
            "message {anything}",
            "read my messages",
            "read my emails",
            "do i have any messages",
        ),
        ("I can't read or send messages.",),
    ),
    Intent(
        "book",
        (
            "book {anything}",
            "book a table {anything}",
            "book me {anything}",
            "book a flight {anything}",
            "reserve {anything}",
            "make a reservation {anything}",
            "make an appointment {anything}",
            "order {anything}",
            "order me {anything}",
            "buy {anything}",
            "get me a taxi",
            "i would like to order {anything}",
            "i would like to book {anything}",
        ),
        ("I can't book or order anything.",),
    ),
    Intent(
        "home",
        (
            "turn on {anything}",
            "turn off {anything}",
            "switch on {anything}",
            "switch off {anything}",
            "turn the {anything} on",
            "turn the {anything} off",
            "turn up {anything}",
            "turn down {anything}",
            "dim the lights",
            "lock the door",
            "open the {anything}",
            "close the {anything}",
            "set the temperature to {anything}",
            "start the {anything}",
        ),
        ("I can't control devices.",),
    ),
    Intent(
        "music",
        (
            "play {anything}",
            "play some music",
            "play the radio",
            "sing a song",
            "sing {anything}",
            "next song",
            "pause the music",
        ),
        ("I can't play music.",),
    ),
    Intent(
        "calendar",
        (
            "what is on my calendar",
            "what is on my schedule",
            "do i have any meetings",
            "when is my next meeting",
            "when is my next appointment",
            "add {anything} to my calendar",
            "add {anything} to my shopping list",
            "put {anything} on my list",
            "take a note {anything}",
            "schedule {anything}",
            "remind me to {anything}",
            "remember that {anything}",
        ),
        ("I can't keep a calendar or notes. I can set a timer.",),
    ),
    Intent(
        "way",
        (
            "how do i get to the {anything}",
            "how do i get from {anything} to {somewhere}",
            "where is the nearest {anything}",
            "find a {anything} near me",
            "find a restaurant",
            "give me directions to {anything}",
            "navigate to {anything}",
        ),
        ("I can't look up places. I have no connection to the internet.",),
    ),
    Intent(
        "camera",
        (
            "take a picture",
            "take a photo",
            "what do you see",
            "what does it look like",
            "look at this",
            "open {anything}",
            "show me {anything}",
        ),
        ("I can't see or show anything. I can only listen and speak.",),
    ),
    Intent(
        "alarm",
        (
            "set an alarm for {anything}",
            "set the alarm {anything}",
            "wake me up at {anything}",
            "wake me at {anything}",
        ),
        ("I can't set alarms for a time of day. I can set a timer.",),
    ),
    Intent(
        "voice",
        ("speak louder", "speak slower", "speak up", "talk faster", "change your voice", "use another voice"),
        ("I can't change my voice.",),
    ),
    Intent(
        "story",
        (
            "tell me a story",
            "read me a story",
            "read me a book",
            "tell me a poem",
            "let us play a game",
            "play a game",
        ),
        ("I'm not good at that. I can tell you a joke.",),
    ),
    Intent(
        "elsewhere",
        ("what time is it in {anything}", "what is the time in {anything}", "what is the date in {anything}"),
        ("I only know the time here.",),
    ),
    Intent(
        "translate",
        (
            "translate {anything}",
            "how do you say {anything} in {language}",
            "what is {anything} in {language}",
            "do you speak {language}",
            "speak {language}",
        ),
        ("I only speak English, and I can't translate.",),
    ),
)
"""Requests that it can't serve, and the sober answer. Used only where no function tool fits."""


def skills(tool_names: Sequence[str]) -> str:
    """What it can do, given the function tools of the session."""
    known = [_SKILLS[name] for name in tool_names if name in _SKILLS]
    others = [name.replace("_", " ") for name in tool_names if name not in _SKILLS and name not in _SILENT]
    able = [*dict.fromkeys(known), *others[:4]]
    if not able:
        return "I can answer simple questions and talk a little."
    listed = able[0] if len(able) == 1 else f"{', '.join(able[:-1])} and {able[-1]}"
    return f"I can {listed}, and answer simple questions."


_SKILLS = {
    "tell_time": "tell the time and the date",
    "tell_date": "tell the time and the date",
    "calculate": "do sums",
    "set_timer": "set timers",
    "spell": "spell words",
    "repeat": "repeat what you say",
}
_SILENT = frozenset({"list_timers", "cancel_timer", "say_again"})
