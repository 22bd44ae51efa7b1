"""The same intents in Simplified Chinese, as text: a grammar with a few patterns for each."""

from __future__ import annotations

import itertools
import string

import numpy as np

from ..scenes.world import COLORS, SHAPES
from .grammar import INTENTS, PRIOR

COLOR = dict(zip(COLORS, ("红色", "橙色", "黄色", "绿色", "蓝色", "紫色", "白色", "黑色"), strict=True))
SHAPE = dict(zip(SHAPES, ("圆形", "方形", "三角形", "菱形", "星形", "十字形"), strict=True))
NUMBER = {"two": "两个", "three": "三个", "four": "四个"}
SEEN = {
    "order": ("我想要{number}{color}的{shape}", "可以订一个{color}{shape}吗", "请给我寄{number}{shape}"),
    "change_color": ("能把我的{shape}改成{color}吗", "请把颜色换成{color}", "我的{shape}想要{color}的"),
    "change_size": ("能改一下{shape}的尺寸吗", "我想要大一点的{shape}", "请把尺寸改小一点"),
    "cancel": ("请取消我的订单", "我不要那个{color}{shape}了", "请取消{color}的{shape}"),
    "track": ("我的订单到哪里了", "我的{color}{shape}什么时候到", "我买的{shape}在哪里"),
    "refund": ("我要退款", "请把钱退给我", "{shape}的钱请退给我"),
    "exchange": ("我想换一个{shape}", "这个{color}{shape}能换货吗", "能把{shape}换成{color}的寄来吗"),
    "broken": ("我的{color}{shape}坏了", "收到的{shape}是坏的", "订单到的时候已经坏了"),
    "wrong_item": ("这不是我订的", "你们寄错了", "我订的不是{color}的{shape}"),
    "address": ("请寄到我的新地址", "我想改一下地址", "我的地址写错了"),
    "human": ("我想跟人工客服说话", "请转人工", "能找个人帮我吗"),
    "feedback": ("太好了谢谢", "谢谢这个{shape}很好", "你们的服务太好了"),
    "out_of_scope": ("{color}的{shape}在墙上", "有一个{color}的{shape}", "{shape}在左边"),
}
UNSEEN = {
    "order": ("再来{number}{color}{shape}",),
    "change_color": ("{shape}要{color}的不要别的颜色",),
    "change_size": ("{shape}太小了想要大的",),
    "cancel": ("订单不要了",),
    "track": ("{shape}还没到",),
    "refund": ("钱能退吗",),
    "exchange": ("{shape}给我换个新的",),
    "broken": ("寄来的{shape}裂了",),
    "wrong_item": ("{shape}寄错颜色了",),
    "address": ("别寄到老地址",),
    "human": ("有人吗",),
    "feedback": ("很喜欢这个{shape}",),
    "out_of_scope": ("{shape}向左移动",),
}


def fillings(pattern: str) -> list[str]:
    """Every text of a pattern."""
    values = {"color": COLOR, "shape": SHAPE, "number": NUMBER}
    names = [name for _, name, _, _ in string.Formatter().parse(pattern) if name]
    ways = itertools.product(*(values[name].values() for name in names))
    return [pattern.format(**dict(zip(names, way, strict=True))) for way in ways]


def draw(n: int, rng: np.random.Generator, templates: str = "seen") -> tuple[list[str], np.ndarray]:
    """n texts and their intents, int64 (n,), by the same prior as the English ones.

    Raises
    ------
    ValueError
        For other templates than "seen" and "unseen".
    """
    if templates not in ("seen", "unseen"):
        raise ValueError(f"templates: expected seen or unseen, got {templates!r}")
    table = SEEN if templates == "seen" else UNSEEN
    intents = rng.choice(len(INTENTS), n, p=PRIOR)
    texts = []
    for intent in intents:
        patterns = table[INTENTS[intent]]
        every = fillings(patterns[int(rng.integers(len(patterns)))])
        texts.append(every[int(rng.integers(len(every)))])
    return texts, intents.astype(np.int64)
