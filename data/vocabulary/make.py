"""Fix the vocabulary of Parts 4 and 5: write `pieces.json` beside this file.

    python data/vocabulary/make.py            # refuses to change the id of a piece that is in the file already

Shipped models know words by their ids, so an id never changes. A new word takes the first spare id: add it to the lists
below and run this again.
"""

import json
from pathlib import Path

from mmcourse.datasets import scenes
from mmcourse.datasets.scenes import captions

HERE = Path(__file__).resolve().parent
SIZE = 1280
SPECIAL = ["<pad>", "<bos>", "<eos>", "<sep>", "<mask>", "<cap>", "<glue>", "<image>", "<audio>", "<video>", "<box>"]
SPECIAL += ["<system>", "<user>", "<assistant>", "<tool>", "<call>", "<end>"]
BYTES = [f"<0x{byte:02X}>" for byte in range(256)]
SIGNS = list(".,:;?!'\"()-+=/%*<>[]_") + list("，。、？！：；（）")
DIGITS = list("0123456789")

# English beyond captions, questions and answers: dialogue and tools, the road, the clinic, the help desk.
DIALOGUE = """
zero one five six seven eight nine ten eleven twelve i you he she it its we they them me my your this these those which
who what when where why how do does did don doesn didn t s m re can could would will should may must not no yes be am is
are was were has have had get let see say tell show name list describe answer ask explain translate repeat count point
find compare draw choose use read write look give please thanks thank hello hi sorry ok sure again also only just very
too much few every each any some none nothing something all both other another same different true false right wrong
because so if then than but while before after now first second third last next previous between near far nearest
farthest beside behind front inside outside here picture image photo scene color colors colour colours size sizes sort
kind background word words sentence sentences short long brief english chinese language question mean means know think
believe remember guess certain unsure probably maybe about sees seen heard hear listen sound voice speak video frame
moves moved plus minus times equals sum total number numbers more most less least tool call result error
""".split()
ROAD = """
car cars truck bus van cyclist pedestrian pole road lane street crossing camera lidar radar stop start go wait follow
turn overtake pass park slow down fast faster slower keep distance clear fog rain night day snow ahead meters seconds
speed safe danger brake vehicle light traffic
""".split()
CLINIC = """
patient man woman age years old scan chest lung heart finding normal nodule effusion fluid cough fever pain blood
pressure high low risk doctor report follow-up
""".replace("-", " ").split()
HELP_DESK = """
order orders refund cancel change address password account bill card payment price delivery package late lost broken
return exchange help agent problem working work time today tomorrow yesterday week open close lock login email phone
money charge charged twice great good bad happy angry love hate terrible wonderful waiting hour hours ticket product
""".split()
# Chinese beyond captions: questions, dialogue, roads.
CHINESE = """
什么 哪里 哪边 哪个 多少 几个 颜色 形状 大小 位置 这里 那里 图片 图像 描述 回答 请 谢谢 你好 对不起 我 你 它
他 她 我们 这 那 这个 那个 是 不是 不 没 没有 没看到 看到 看见 吗 呢 吧 了 和 或 比 更 多 少 一样 最多 最少
最大 最小 一些 所有 只有 也 都 还 但是 因为 所以 如果 先 再 以后 以前 之间 旁边 中间 前面 后面 里面 外面 左
右 上 下 前 后 大 小 红 橙 黄 绿 蓝 紫 白 黑 零 一 二 三 四 五 六 七 八 九 十 两 个 句 词 英文 中文 翻译 简短
一句话 知道 不知道 认为 可能 对 错 数 找 指出 比较 画 说 听 声音 视频 图 车 汽车 行人 道路 停 走 等 跟着 转
慢 快 订单 退款 取消 地址 密码 账户 帮助 问题 今天 明天 昨天 好 坏 高兴 生气
""".split()


def listed() -> list[str]:
    """Every piece that the grammars need, in the order in which a new file gives out ids."""
    english = {*captions.vocabulary(), *scenes.vocabulary()[2:], *scenes.ANSWERS}
    more = sorted({*DIALOGUE, *ROAD, *CLINIC, *HELP_DESK} - english)
    chinese = [word for word in captions.chinese_words() if word not in SIGNS]
    more_chinese = sorted(set(CHINESE) - set(chinese))
    pieces = [*SPECIAL, *BYTES, *SIGNS, *DIGITS, *sorted(english), *chinese, *more, *more_chinese]
    assert len(set(pieces)) == len(pieces), "a piece is listed twice"
    return pieces


def main() -> None:
    """Write the file, or give new pieces the first spare ids."""
    path = HERE / "pieces.json"
    pieces = listed()
    if path.is_file():
        old = json.loads(path.read_text(encoding="utf-8"))
        known = [piece for piece in old if not piece.startswith("<spare_")]
        missing = set(known) - set(pieces)
        assert not missing, f"a piece keeps its id for ever; missing from the lists: {sorted(missing)}"
        pieces = known + [piece for piece in pieces if piece not in set(known)]
    assert len(pieces) <= SIZE, f"{len(pieces)} pieces do not fit into {SIZE}"
    pieces += [f"<spare_{i}>" for i in range(len(pieces), SIZE)]
    text = "[\n" + ",\n".join(json.dumps(piece, ensure_ascii=False) for piece in pieces) + "\n]\n"
    path.write_text(text, encoding="utf-8")
    print(len([piece for piece in pieces if not piece.startswith("<spare_")]), "pieces and spare ids up to", SIZE)


if __name__ == "__main__":
    main()
