"""What is said of a scene, in English and in Simplified Chinese: a grammar with synonyms and several word orders.

A caption names every thing, and says only what is true.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Sequence

import numpy as np

from .world import SIDE, TEXTURES, Scene, Thing, relation

ENGLISH = {
    "small": "small little tiny".split(),
    "large": "large big huge".split(),
    "red": ["red", "scarlet"],
    "orange": ["orange", "amber"],
    "yellow": ["yellow", "golden"],
    "green": ["green", "emerald"],
    "blue": ["blue", "azure"],
    "purple": ["purple", "violet"],
    "white": ["white"],
    "black": ["black"],
    "circle": ["circle", "disc"],
    "square": ["square", "box"],
    "triangle": ["triangle"],
    "diamond": ["diamond", "rhombus"],
    "star": ["star"],
    "cross": ["cross"],
    "left": ["left of", "to the left of", "on the left side of"],
    "right": ["right of", "to the right of", "on the right side of"],
    "above": ["above", "over", "higher than"],
    "below": ["below", "under", "beneath", "lower than"],
    "verb": "is lies sits stands".split(),
    "open": "there is,I can see,we see,here is,the picture shows,this image has,look at,you can find".split(","),
    "count": "two three four".split(),
    "things": "shapes things objects figures".split(),
    "also": "along with,together with,as well as,besides".split(","),
    "ground": "on a {} background,in front of a {} background,against a {} wall".split(","),
    "move left": "moves to the left,slides left,drifts left".split(","),
    "move right": "moves to the right,slides right,drifts right".split(","),
    "move up": "moves up,rises,climbs".split(","),
    "move down": "moves down,falls,sinks".split(","),
    "grow": "grows,gets bigger".split(","),
    "shrink": "shrinks,gets smaller".split(","),
    "appear": "appears,shows up".split(","),
    "vanish": "vanishes,goes away".split(","),
}
CHINESE = {
    "small": ["小", "小小的", "很小的"],
    "large": ["大", "巨大的", "很大的"],
    "red": ["红色"],
    "orange": ["橙色"],
    "yellow": ["黄色"],
    "green": ["绿色"],
    "blue": ["蓝色"],
    "purple": ["紫色"],
    "white": ["白色"],
    "black": ["黑色"],
    "circle": ["圆形", "圆"],
    "square": ["正方形", "方块"],
    "triangle": ["三角形"],
    "diamond": ["菱形"],
    "star": ["星形", "五角星"],
    "cross": ["十字形", "十字"],
    "left": ["左边", "左侧"],
    "right": ["右边", "右侧"],
    "above": ["上面", "上方"],
    "below": ["下面", "下方"],
    "open": ["图中有", "这里有", "我看到", "画面上有", "可以看见"],
    "plain": ["纯色"],
    "striped": ["条纹"],
    "checked": ["格子"],
    "dotted": ["圆点"],
    "shaded": ["渐变"],
    "move left": ["向左移动", "往左滑动"],
    "move right": ["向右移动", "往右滑动"],
    "move up": ["向上移动", "升高"],
    "move down": ["向下移动", "落下"],
    "grow": ["变大"],
    "shrink": ["变小"],
    "appear": ["出现"],
    "vanish": ["消失"],
}
COUNTS = "一二三四"
INVERSE = {"left": "right", "right": "left", "above": "below", "below": "above"}
EVENTS = ("move left", "move right", "move up", "move down", "grow", "shrink", "appear", "vanish")


class Voice:
    """Chooses among synonyms by a generator, one number at a time."""

    def __init__(self, words: dict[str, list[str]], seed: Sequence[int]):
        self.words, self._u = words, iter(np.random.default_rng(seed).random(64).tolist())

    def pick(self, options: Sequence[str]) -> str:
        return options[int(next(self._u) * len(options))]

    def say(self, name: str) -> str:
        return self.pick(self.words[name])

    def chance(self, p: float) -> bool:
        return next(self._u) < p


def third(value: float) -> int:
    """-1, 0 or 1: the first, middle or last third of the picture's side."""
    return int(value * 3 / SIDE) - 1


def article(words: str) -> str:
    return f"an {words}" if words[0] in "aeiou" else f"a {words}"


def noun_phrase(thing: Thing, v: Voice, sized: bool = True) -> str:
    """ "a tiny red disc", "a circle that is red and small", "a small circle in red", or without the size.

    sized : False for what changes its size
    """
    size, color, shape = (v.say(name) for name in thing.names)
    order = v.pick("aaabcd")
    if not sized:
        order = "d"
    if order == "b":
        return article(f"{shape} that is {color} and {size}")
    if order == "c":
        return article(f"{size} {shape} in {thing.names[1]}")
    return article(f"{color} {shape}") if order == "d" else article(f"{size} {color} {shape}")


def place_phrase(thing: Thing) -> str:
    """Which ninth of the picture the center is in."""
    across, down = ("left", "", "right")[third(thing.x) + 1], ("top", "", "bottom")[third(thing.y) + 1]
    if across and down:
        return f"in the {down} {across} corner"
    return f"on the {across}" if across else f"at the {down}" if down else "in the middle"


def _listed(parts: Sequence[str], comma: str = ", ", last: str = " and ") -> str:
    return last.join([*([comma.join(parts[:-1])] if len(parts) > 1 else []), parts[-1]])


def _english_relation(scene: Scene, v: Voice) -> str:
    a, b, *rest = scene.things if v.chance(0.5) else (scene.things[1], scene.things[0], *scene.things[2:])
    where, first, second = v.say(relation(a, b)), noun_phrase(a, v), noun_phrase(b, v)
    order = v.pick("abc")
    if order == "a":
        text = f"{first} {v.say('verb')} {where} {second}"
    else:
        text = f"{v.say('open')} {first} {where} {second}" if order == "b" else f"{where} {second} is {first}"
    if rest:
        text += f" {v.say('also')} " + _listed([noun_phrase(thing, v) for thing in rest])
    return text


def english(scene: Scene) -> str:
    """One sentence about a scene."""
    v = Voice(ENGLISH, [*scene.seed, 2])
    things = scene.things
    if len(things) == 1:
        text, where = noun_phrase(things[0], v), place_phrase(things[0])
        text = f"{v.say('open')} {text} {where}" if v.chance(0.5) else f"{text} {v.say('verb')} {where}"
    elif v.chance(0.6):
        text = _english_relation(scene, v)
    else:
        parts = _listed([noun_phrase(thing, v) for thing in things])
        count = f"there are {v.words['count'][len(things) - 2]} {v.say('things')}: {parts}"
        text = count if v.chance(0.5) else f"{v.say('open')} {parts}"
    if v.chance(0.25):
        text += " " + v.say("ground").format(TEXTURES[scene.texture])
    return text[0].upper() + text[1:] + "."


def chinese_phrase(thing: Thing, v: Voice, sized: bool = True) -> str:
    """一个小的红色圆形、一个红色的小圆形 …: with or without the size."""
    size, color, shape = (v.say(name) for name in thing.names)
    order = v.pick("aabc")
    if not sized:
        order = "c"
    if order == "c":
        return f"一个{color}的{shape}"
    if order == "b":
        return f"一个{color}的{size}{shape}"
    return f"一个{size if size.endswith('的') else size + '的'}{color}{shape}"


def chinese(scene: Scene) -> str:
    """One sentence about a scene, in Simplified Chinese; with choices of its own, so not word by word the same."""
    v = Voice(CHINESE, [*scene.seed, 3])
    things = scene.things
    phrases = [chinese_phrase(thing, v) for thing in things]
    if len(things) == 1:
        across, down = "左 右"[third(things[0].x) + 1].strip(), "上 下"[third(things[0].y) + 1].strip()
        corner = f"{across}{down}角" if across and down else f"{across or down}边" if across or down else "中间"
        text = f"画面{corner}有{phrases[0]}" if v.chance(0.5) else f"{phrases[0]}在画面{corner}"
    elif v.chance(0.6):
        where = v.say(relation(things[0], things[1]))
        text = f"{phrases[0]}在{phrases[1]}的{where}" if v.chance(0.5) else f"{phrases[1]}的{where}有{phrases[0]}"
        text += "，还有" + _listed(phrases[2:], "、", "和") if phrases[2:] else ""
    else:
        text = v.say("open") + _listed(phrases, "、", "和")
        text += f"，一共{COUNTS[len(things) - 1].replace('二', '两')}个图形" if v.chance(0.5) else ""
    if v.chance(0.25):
        text += f"，背景是{v.say(TEXTURES[scene.texture])}"
    return text + "。"


def event_caption(thing: Thing, event: str, seed: Sequence[int]) -> tuple[str, str]:
    """What happens in a video: (English, Chinese)."""
    v, z = Voice(ENGLISH, [*seed, 4]), Voice(CHINESE, [*seed, 5])
    sized = event not in ("grow", "shrink")  # a thing that grows is small in one frame and large in another
    english, chinese = noun_phrase(thing, v, sized), chinese_phrase(thing, z, sized)
    return f"{english.capitalize()} {v.say(event)}.", f"{chinese}{z.say(event)}。"


def tokens(text: str) -> list[str]:
    """Lower-case English words."""
    return re.findall("[a-z]+", text.lower())


def _words(entries: Iterable[str]) -> set[str]:
    return {word for entry in entries for word in tokens(entry)}


@functools.cache
def vocabulary() -> tuple[str, ...]:
    """Every English word that a caption can have, in alphabetical order."""
    glue = "a an and are at bottom corner in is middle of on that the there to top".split()
    return tuple(sorted(_words(x for entries in ENGLISH.values() for x in entries) | set(glue) | set(TEXTURES)))


@functools.cache
def chinese_words() -> tuple[str, ...]:
    """Words that a Chinese caption is cut into by `mmcourse.preprocess.text.maximum_matching`."""
    glue = "一个 两个 三个 四个 图形 画面 中间 左边 右边 上边 下边 左上角 左下角 右上角 右下角 还有 一共 背景".split()
    return tuple(sorted({word for entries in CHINESE.values() for word in entries} | {*glue, *"的在有是和"}))
