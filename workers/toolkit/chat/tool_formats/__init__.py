"""How families of models write calls of tools: one file for each syntax. The chat template says which one is used."""

from __future__ import annotations

from workers.toolkit.chat.tool_formats.apertus import APERTUS
from workers.toolkit.chat.tool_formats.base import ToolFormat
from workers.toolkit.chat.tool_formats.command_r import COMMAND_R
from workers.toolkit.chat.tool_formats.deepseek import DEEPSEEK
from workers.toolkit.chat.tool_formats.functionary import FUNCTIONARY
from workers.toolkit.chat.tool_formats.gemma import FUNCTION_GEMMA, GEMMA
from workers.toolkit.chat.tool_formats.gigachat import GIGACHAT, GIGACHAT_3_1
from workers.toolkit.chat.tool_formats.hunyuan import HUNYUAN
from workers.toolkit.chat.tool_formats.json_between import COMMAND, FUNCTOOLS, GRANITE, HERMES, JAMBA, NEMOTRON, PHI
from workers.toolkit.chat.tool_formats.kimi import KIMI
from workers.toolkit.chat.tool_formats.kimi_k3 import KIMI_K3
from workers.toolkit.chat.tool_formats.llama import LLAMA
from workers.toolkit.chat.tool_formats.minicpm import MINICPM
from workers.toolkit.chat.tool_formats.minimax_m3 import MINIMAX_M3
from workers.toolkit.chat.tool_formats.mistral import MISTRAL
from workers.toolkit.chat.tool_formats.pythonic import LFM, PYTHONIC
from workers.toolkit.chat.tool_formats.solar import SOLAR, SOLAR_2
from workers.toolkit.chat.tool_formats.tagged import DSML, DSML_V4, GLM, MINIMAX, QWEN_CODER, SEED

_FORMATS: tuple[ToolFormat, ...] = (
    DSML, DSML_V4, DEEPSEEK, KIMI, KIMI_K3, SOLAR, SOLAR_2, MINIMAX, MINIMAX_M3, HUNYUAN, SEED, QWEN_CODER, FUNCTIONARY,
    MINICPM, GLM, GEMMA, FUNCTION_GEMMA, MISTRAL, COMMAND, COMMAND_R, LFM, APERTUS, GIGACHAT, GIGACHAT_3_1, NEMOTRON,
    JAMBA, HERMES, PHI, GRANITE, FUNCTOOLS, PYTHONIC, LLAMA,
)  # fmt: skip
"""Those with the most specific marks come first, since a template may have the marks of several."""

FORMATS = {written.name: written for written in _FORMATS}
